/** What can be watched of requests on their way, over the gateway's HTTP side and a fake neuron. */
import { afterEach, describe, expect, it } from 'vitest';
import type { LiveChange } from '../src/observe/live-requests.ts';
import { eventually, startEdge, type Edge, type EdgeOptions } from './start-edge.ts';

let edge: Edge;
const start = async (options: EdgeOptions = {}): Promise<void> => {
  edge = await startEdge(options);
};
afterEach(() => edge.close());

const ask = (body: object = {}, init: RequestInit = {}): Promise<Response> =>
  fetch(`${edge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-request-id': 'r1' },
    body: JSON.stringify({ model: 'alias', messages: [{ role: 'user', content: 'hello' }], ...body }),
    ...init,
  });

const phase = (): string | undefined => edge.observed.live.snapshot()[0]?.phase;

describe('a request on its way', () => {
  it('is queued, loads, waits for its first token and decodes', async () => {
    await start({ model: { tokens: 4, first_token_ms: 150, token_ms: 100 } });
    const steps = [() => undefined as void, () => undefined as void];
    edge.fleet.coldStart = true;
    edge.fleet.wait = async (progress) => {
      progress({ kind: 'queued', position: 1 });
      await new Promise<void>((resolve) => (steps[0] = resolve));
      progress({ kind: 'loading', node: 'a', fraction: 0.5, etaSecs: 3 });
      await new Promise<void>((resolve) => (steps[1] = resolve));
    };
    const answered = ask({ stream: true }).then((response) => response.text());
    await eventually(() => phase() === 'queued');
    expect(edge.observed.live.snapshot()[0]).toMatchObject({
      id: 'r1',
      dialect: 'chat',
      asked: 'alias',
      model: null,
      node: null,
      wait: { kind: 'queued', position: 1 },
      queue_ms: null,
      ttft_ms: null,
      completion_tokens: 0,
      tok_s: null,
    });
    steps[0]?.();
    await eventually(() => phase() === 'loading');
    expect(edge.observed.live.snapshot()[0]?.wait).toMatchObject({ fraction: 0.5 });
    steps[1]?.();
    await eventually(() => phase() === 'prefill');
    expect(edge.observed.live.snapshot()[0]).toMatchObject({ model: 'm', node: 'a', cold_start: true });
    await eventually(() => (edge.observed.live.snapshot()[0]?.completion_tokens ?? 0) >= 2);
    const [decoding] = edge.observed.live.snapshot();
    expect(decoding?.phase).toBe('decoding');
    expect(decoding?.ttft_ms).toBeGreaterThan(100);
    expect(decoding?.tok_s).toBeGreaterThan(0);
    await answered;
    await eventually(() => edge.observed.live.count === 0);
    expect(edge.observed.finished.snapshot()).toMatchObject([
      { id: 'r1', dialect: 'chat', asked: 'alias', model: 'm', node: 'a', stream: true, outcome: 'done', status: 200 },
    ]);
  });

  it('is told of when it starts and when it ends', async () => {
    await start();
    const changes: LiveChange[] = [];
    edge.observed.live.subscribe((change) => changes.push(change));
    await (await ask()).text();
    await eventually(() => changes.length === 2);
    expect(changes).toMatchObject([
      { kind: 'started', request: { id: 'r1', stream: false } },
      { kind: 'ended', id: 'r1' },
    ]);
  });

  it('ends as cancelled when its client leaves', async () => {
    await start({ model: { tokens: 100, token_ms: 20 } });
    const leaving = new AbortController();
    const response = await ask({ stream: true }, { signal: leaving.signal });
    await response.body?.getReader().read();
    leaving.abort();
    await eventually(() => edge.observed.finished.snapshot().length === 1);
    expect(edge.observed.finished.snapshot()[0]).toMatchObject({ outcome: 'cancelled', status: 499 });
    expect(edge.observed.live.count).toBe(0);
  });
});

describe('routing decisions', () => {
  it('tell who was chosen, and after a failure who was next', async () => {
    await start({ nNodes: 2 });
    edge.node.faults.push({ kind: 'status', status: 500 });
    await (await ask()).text();
    expect(edge.observed.decisions.snapshot()).toMatchObject([
      { request_id: 'r1', asked: 'alias', model: 'm', attempt: 1, outcome: 'granted', node: 'a', error: null },
      { request_id: 'r1', attempt: 2, outcome: 'granted', node: 'b' },
    ]);
    expect(edge.observed.decisions.snapshot()[0]?.explanation).toMatchObject({ chosen: 'a' });
  });

  it('tell of a refusal and why', async () => {
    await start();
    await ask({ model: 'nobody' });
    expect(edge.observed.decisions.snapshot()).toMatchObject([
      { asked: 'nobody', model: null, outcome: 'refused', node: null, error: { code: 'model_not_found' } },
    ]);
  });
});

describe('log lines', () => {
  it('are kept as they were logged', async () => {
    await start();
    await (await ask()).text();
    await eventually(() => edge.observed.log.snapshot().some((line) => line.includes('"requestId":"r1"')));
    const line = edge.observed.log.snapshot().find((one) => one.includes('r1')) ?? '';
    expect(JSON.parse(line)).toMatchObject({ msg: 'request', outcome: 'done' });
  });
});
