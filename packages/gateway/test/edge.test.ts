/** What holds for every route: shapes, errors, limits, who may do what. */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startEdge, type Edge } from './start-edge.ts';

let edge: Edge;
beforeAll(async () => {
  edge = await startEdge({ config: '[gateway]\nbody_limit_mb = 1\n', fleet: { seeing: ['m'] } });
});
afterAll(() => edge.close());

/** Of all the bodies there are: what the tests look at. */
interface Body {
  readonly [name: string]: unknown;
  readonly data: readonly Readonly<Record<string, unknown>>[];
  readonly error: { readonly [fact: string]: unknown; readonly message: string };
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Body;
}

const get = async (path: string, headers: Record<string, string> = {}): Promise<Answer> => {
  const response = await fetch(edge.url + path, { headers });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Body };
};

const post = async (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> => {
  const response = await fetch(edge.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Body };
};

/** Bytes as they are, and whatever comes back. */
const raw = (text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const url = new URL(edge.url);
    const socket = connect(Number(url.port), url.hostname, () => socket.write(text));
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('data', (piece: string) => {
      answer += piece;
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });

describe('status', () => {
  it('answers HEAD /, /health and /version without a key', async () => {
    expect((await fetch(edge.url, { method: 'HEAD' })).status).toBe(200);
    expect((await get('/health')).body).toMatchObject({ status: 'degraded', nodes: { up: 0, total: 0 }, in_flight: 0 });
    expect((await get('/version')).body).toMatchObject({ name: 'cortex', node: process.version });
  });

  it('gives every answer a request id, the client its own where that is harmless', async () => {
    expect((await get('/version')).headers.get('x-request-id')).toMatch(/^req_[\w-]+$/);
    expect((await get('/version', { 'x-request-id': 'mine-1' })).headers.get('x-request-id')).toBe('mine-1');
    expect((await get('/version', { 'x-request-id': 'a b"' })).headers.get('x-request-id')).toMatch(/^req_/);
  });
});

describe('/v1/models', () => {
  it('has OpenAI’s shape, and all the catalogue knows beside it', async () => {
    const { body } = await get('/v1/models');
    expect(body.object).toBe('list');
    expect(body.data[0]).toMatchObject({
      id: 'm',
      object: 'model',
      owned_by: 'cortex',
      capabilities: ['text', 'vision'],
    });
    expect(body.data[0]).not.toHaveProperty('cost');
    expect(body).not.toHaveProperty('models');
  });

  it('has Anthropic’s shape for a client that says so', async () => {
    const { body } = await get('/v1/models', { 'anthropic-version': '2023-06-01' });
    expect(body).toMatchObject({ has_more: false, first_id: 'm', last_id: 'alias' });
    expect(body.data[0]).toEqual({
      type: 'model',
      id: 'm',
      display_name: 'm',
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string,
    });
  });

  it('has the list that Codex looks for', async () => {
    expect((await get('/v1/models?client_version=0.169.0')).body.models).toEqual([]);
  });

  it('finds one by an id with slashes, or says that there is none', async () => {
    expect((await get('/v1/models/m')).body.id).toBe('m');
    expect((await get('/v1/models/Qwen/none')).body.error).toMatchObject({ code: 'model_not_found', param: 'model' });
  });
});

const chat = '/v1/chat/completions';

const askAbout = (url: string): Promise<Answer> =>
  post(chat, { model: 'm', messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url } }] }] });

describe('requests that can not be right', () => {
  it('are told what is wrong, in OpenAI’s envelope', async () => {
    expect((await get('/nope')).body.error.message).toBe('there is no /nope here');
    const wrong = await get(chat);
    expect(wrong).toMatchObject({ status: 405, body: { error: { code: 'method_not_allowed' } } });
    expect(wrong.headers.get('allow')).toBe('POST');
    expect(wrong.body.error.message).toBe(`${chat} takes POST`);
    expect(await post(chat, '{"model":')).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    expect((await post(chat, '[1]')).body.error.message).toBe('the body is not a JSON object');
    expect((await post(chat, { messages: [] })).body.error).toMatchObject({ param: 'model' });
    expect((await post(chat, {}, { 'content-type': 'text/plain' })).body.error.message).toContain('application/json');
    expect((await post(chat, {}, { 'content-encoding': 'zstd' })).body.error.message).toContain(
      'content-encoding zstd',
    );
  });

  it('never quotes the body in an error', async () => {
    const { body } = await post(chat, '{"secret": hunter2}');
    expect(JSON.stringify(body)).not.toContain('hunter2');
  });

  it('are refused when too large, whether they say so or not', async () => {
    const declared = await post(chat, 'x'.repeat(1024 * 1024 + 1));
    expect(declared).toMatchObject({
      status: 413,
      body: { error: { code: 'request_too_large', limit_bytes: 1048576 } },
    });
    const piece = `40000\r\n${'x'.repeat(0x40000)}\r\n`;
    const head = `POST ${chat} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n`;
    expect(await raw(`${head}transfer-encoding: chunked\r\n\r\n${piece.repeat(5)}0\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 413/,
    );
  });

  it('that are no HTTP get an answer all the same', async () => {
    expect(await raw('hello\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 [\s\S]*this is not an HTTP request/);
    expect(await raw(`GET / HTTP/1.1\r\nx-long: ${'x'.repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 400 [\s\S]*headers are larger than 16 KB/,
    );
  });

  it('with a picture for a model that is blind name one that sees', async () => {
    const content = [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } }];
    const { status, body } = await post(chat, { model: 'alias', messages: [{ role: 'user', content }] });
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ code: 'vision_unsupported', model_id: 'alias', suggestion: ['m'] });
    expect(edge.node.seen).toHaveLength(0);
  });

  it('with a link to a picture say how to allow it, and other schemes are never opened', async () => {
    const link = await askAbout('https://example.com/a.png');
    expect(link.body.error).toMatchObject({ code: 'invalid_image' });
    expect(link.body.error.message).toContain('allow_remote');
    expect((await askAbout('file:///etc/passwd')).body.error.code).toBe('invalid_image');
    expect(edge.node.seen).toHaveLength(0);
  });
});

describe('/api', () => {
  it('shows the fleet and explains a decision without taking it', async () => {
    expect((await get('/api/fleet')).body).toHaveProperty('nodes');
    const { body } = await get('/api/route?model=m&vision=1&tokens=500');
    expect(body).toMatchObject({ model: 'm', action: 'forward', chosen: 'a' });
    expect((await get('/api/route?model=m&exclude=a')).body.action).toBe('refuse');
    expect((await get('/api/route')).body.error.param).toBe('model');
    expect((await get('/api/route?model=m&vision=maybe')).body.error.param).toBe('vision');
    expect((await get('/api/route?model=m&model=n')).body.error.param).toBe('model');
  });

  it('loads and unloads', async () => {
    expect((await post('/api/models/load', { model_id: 'm' })).body).toEqual({
      status: 'loaded',
      model_id: 'm',
      node: 'a',
    });
    expect((await post('/api/models/unload', { model_id: 'm', mode: 'wait' })).body.nodes).toEqual(['a']);
    expect((await post('/api/models/unload', { model_id: 'm', mode: 'now' })).body.error.param).toBe('mode');
    expect((await post('/api/models/load', { model_id: 7 })).body.error.param).toBe('model_id');
  });

  it('drains and undrains', async () => {
    const drain = await fetch(`${edge.url}/api/nodes/a/drain`, { method: 'POST' });
    expect(await drain.json()).toEqual({ status: 'draining', node: 'a' });
    expect((await get('/api/route?model=m')).body.action).toBe('refuse');
    await fetch(`${edge.url}/api/nodes/a/undrain`, { method: 'POST' });
    expect((await get('/api/route?model=m')).body.action).toBe('forward');
    expect((await fetch(`${edge.url}/api/nodes/zzz/drain`, { method: 'POST' })).status).toBe(404);
  });

  it('does nothing for a page of another site', async () => {
    const headers = { 'sec-fetch-site': 'cross-site' };
    expect((await fetch(`${edge.url}/api/nodes/a/drain`, { method: 'POST', headers })).status).toBe(403);
    expect(edge.fleet.drained.size).toBe(0);
  });
});
