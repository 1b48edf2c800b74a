import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, startEdge, type Edge } from './start-edge.ts';

const hashOf = (key: string): string => `sha256:${createHash('sha256').update(key).digest('hex')}`;

const keys = `
[gateway]
require_auth = true
neuron_token = "neuron-secret"
[[keys]]
name = "alice"
hash = "${hashOf('sk-alice')}"
admin = true
priority = 5
[[keys]]
name = "bob"
hash = "${hashOf('sk-bob')}"
max_concurrent = 1
[[keys]]
name = "carol"
hash = "${hashOf('sk-carol')}"
tokens_per_minute = 10
[[keys]]
name = "dave"
hash = "${hashOf('sk-dave')}"
tokens_per_day = 10
`;

let edge: Edge;
beforeAll(async () => {
  edge = await startEdge({ config: keys, neuronToken: 'neuron-secret' });
});
afterAll(() => edge.close());

const chat = (headers: Record<string, string>, url = edge.url): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hello' }] }),
  });

const codeOf = async (response: Response): Promise<string> =>
  ((await response.json()) as { error: { code: string } }).error.code;

const drain = (key: string): Promise<Response> =>
  fetch(`${edge.url}/api/nodes/a/undrain`, { method: 'POST', headers: { 'x-api-key': key } });

const used = async (key: string): Promise<Response> => {
  expect((await chat({ 'x-api-key': key })).status).toBe(200);
  return chat({ 'x-api-key': key });
};

describe('API keys', () => {
  it('are taken as bearer or x-api-key, and refused when missing or wrong', async () => {
    expect((await chat({ authorization: 'Bearer sk-alice' })).status).toBe(200);
    expect((await chat({ 'x-api-key': 'sk-alice' })).status).toBe(200);
    for (const headers of [{}, { authorization: 'Bearer sk-alic' }, { 'x-api-key': hashOf('sk-alice') }]) {
      const response = await chat(headers);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      expect(await codeOf(response)).toBe('invalid_api_key');
    }
    expect((await fetch(`${edge.url}/v1/models`)).status).toBe(401);
    expect((await fetch(`${edge.url}/api/fleet`)).status).toBe(401);
    expect((await fetch(`${edge.url}/health`)).status).toBe(200);
  });

  it('never reach a node or the log; the node gets its own token', async () => {
    await chat({ authorization: 'Bearer sk-alice', cookie: 'session=1', 'api-key': 'sk-alice' });
    const { headers } = edge.node.seen.at(-1)!;
    expect(headers['authorization']).toBe('Bearer neuron-secret');
    expect(JSON.stringify(headers)).not.toMatch(/sk-alice|session=1/);
    await eventually(() => edge.log.length > 0);
    expect(JSON.stringify(edge.log)).not.toMatch(/sk-|neuron-secret/);
  });

  it('carry who asks and with which priority to the fleet', async () => {
    await chat({ authorization: 'Bearer sk-alice' });
    expect(edge.fleet.requests.at(-1)).toMatchObject({ clientId: 'alice', priority: 5 });
  });

  it('need admin = true to change the fleet', async () => {
    expect((await drain('sk-alice')).status).toBe(200);
    const refused = await drain('sk-bob');
    expect(refused.status).toBe(403);
    expect(await codeOf(refused)).toBe('forbidden');
  });

  it('have a limit of requests at once', async () => {
    edge.node.faults.push({ kind: 'slow_headers', ms: 150 });
    const first = chat({ 'x-api-key': 'sk-bob' });
    await eventually(() => edge.fleet.nLeased > 0);
    const second = await chat({ 'x-api-key': 'sk-bob' });
    expect(second.status).toBe(429);
    expect(second.headers.get('retry-after')).toBe('1');
    expect(await codeOf(second)).toBe('rate_limit_exceeded');
    expect((await first).status).toBe(200);
    await eventually(() => edge.fleet.nLeased === 0);
    expect((await chat({ 'x-api-key': 'sk-bob' })).status).toBe(200);
  });

  it('have budgets of tokens a minute and a day, which name when to come again', async () => {
    const minute = await used('sk-carol');
    expect(minute.status).toBe(429);
    expect(Number(minute.headers.get('retry-after'))).toBeGreaterThan(10);
    expect(await codeOf(minute)).toBe('rate_limit_exceeded');
    const day = await used('sk-dave');
    expect(Number(day.headers.get('retry-after'))).toBeGreaterThan(3600);
    expect(await codeOf(day)).toBe('insufficient_quota');
  });
});

describe('without require_auth', () => {
  it('lets anyone in, but not with a key that is wrong, and nobody but an admin change the fleet', async () => {
    const open = await startEdge({ config: keys.replace('require_auth = true', 'require_auth = false') });
    try {
      expect((await chat({}, open.url)).status).toBe(200);
      expect((await chat({ 'x-api-key': 'sk-typo' }, open.url)).status).toBe(401);
      expect((await fetch(`${open.url}/api/nodes/a/drain`, { method: 'POST' })).status).toBe(403);
    } finally {
      await open.close();
    }
  });
});
