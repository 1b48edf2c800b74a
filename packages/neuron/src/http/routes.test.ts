import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import OpenAI, { NotFoundError } from 'openai';
import { describe, expect, it } from 'vitest';
import { CortexError, discoverySchema, healthSchema, nodeModelsSchema } from '@cortex/core';
import { fakeModel } from '../../test/fake-harness.ts';
import { startServer, until, type TestServer } from '../../test/start-server.ts';

const post = (server: TestServer, path: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

const withToken = (server: TestServer, authorization?: string) =>
  fetch(`${server.url}/models`, authorization === undefined ? {} : { headers: { authorization } });

const client = (server: TestServer): OpenAI =>
  new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });

const hello = { model: 'org/tiny', messages: [{ role: 'user', content: 'hi' }] };

const errorOf = async (response: Response): Promise<Record<string, unknown>> => {
  const body = (await response.json()) as { error: Record<string, unknown> };
  return { status: response.status, ...body.error };
};

/** Writes bytes to a fresh socket and reads whatever comes back until it closes. */
const raw = (server: TestServer, bytes: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });

describe('the calls about the host', () => {
  it('answer in the shapes that the gateway parses', async () => {
    await using server = await startServer();
    const get = async (path: string): Promise<unknown> => (await fetch(server.url + path)).json();
    expect(discoverySchema.parse(await get('/discovery')).hostname).toBe('box');
    expect(healthSchema.parse(await get('/health'))).toMatchObject({ status: 'ok', devices: [{ vram_used_mb: 250 }] });
    expect(nodeModelsSchema.parse(await get('/models'))).toHaveLength(2);
    expect(await get('/version')).toMatchObject({ name: 'neuron', ggml: { commit: 'abc' } });
  });

  it('say degraded once a device is poisoned, and still answer 200', async () => {
    await using server = await startServer();
    server.harness.poisoned = true;
    const response = await fetch(`${server.url}/health`);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ status: 'degraded' });
  });

  it('are not logged above debug: gateways poll them', async () => {
    await using server = await startServer();
    await fetch(`${server.url}/health`);
    await until(() => server.log.some((line) => line['route'] === '/health'));
    expect(server.log.find((line) => line['route'] === '/health')).toMatchObject({ level: 20 });
  });
});

describe('GET /models/{id}/endpoint', () => {
  it('takes ids with slashes, plain or encoded, and answers with the address the caller used', async () => {
    await using server = await startServer();
    for (const id of ['org/tiny', 'org%2Ftiny', 'plain']) {
      const response = await fetch(`${server.url}/models/${id}/endpoint`);
      expect(await response.json()).toEqual({ url: server.url });
    }
  });

  it('does not repeat a Host header that is not a host', async () => {
    await using server = await startServer();
    const answer = await raw(
      server,
      'GET /models/plain/endpoint HTTP/1.1\r\nhost: x/"><script>\r\nconnection: close\r\n\r\n',
    );
    expect(answer).toContain(`{"url":"${server.url}"}`);
  });

  it('can do without a Host header', async () => {
    await using server = await startServer();
    expect(await raw(server, 'GET /models/plain/endpoint HTTP/1.0\r\n\r\n')).toContain(`{"url":"${server.url}"}`);
  });

  it('answers 404 for a model that is not here', async () => {
    await using server = await startServer();
    const response = await fetch(`${server.url}/models/no/such/endpoint`);
    expect(await errorOf(response)).toMatchObject({ status: 404, code: 'model_not_found', model_id: 'no/such' });
    const long = await fetch(`${server.url}/models/${'x'.repeat(300)}/endpoint`);
    expect(await errorOf(long)).toMatchObject({ status: 404, code: 'model_not_found' });
  });
});

describe('POST /models/load', () => {
  it('answers loading at once while a load runs, loaded when it has ended', async () => {
    await using server = await startServer();
    const release = server.harness.holdLoads();
    const first = await post(server, '/models/load', { model_id: 'org/tiny' });
    expect(await first.json()).toEqual({ status: 'loading' });
    expect(server.harness.catalogue[0]).toMatchObject({ status: 'loading' });
    const waited = post(server, '/models/load', { model_id: 'org/tiny', wait: true });
    await until(() => server.harness.loads.length === 2);
    release();
    expect(await (await waited).json()).toEqual({ status: 'loaded' });
  });

  it('tells a failure that comes at once to the caller', async () => {
    await using server = await startServer();
    const missing = await post(server, '/models/load', { model_id: 'nope' });
    expect(await errorOf(missing)).toMatchObject({ status: 404, code: 'model_not_found' });
    server.harness.loadError = new CortexError('insufficient_vram', 'needs 9000 MB, 750 MB are free');
    const full = await post(server, '/models/load', { model_id: 'plain' });
    expect(full.headers.get('retry-after')).toBe('1');
    expect(await errorOf(full)).toMatchObject({ status: 503, code: 'insufficient_vram' });
  });

  it('logs a failure that comes later', async () => {
    await using server = await startServer();
    const release = server.harness.holdLoads();
    server.harness.loadError = new CortexError('model_load_failed', 'a tensor is missing');
    const response = await post(server, '/models/load', { model_id: 'plain' });
    expect(await response.json()).toEqual({ status: 'loading' });
    release();
    await until(() => server.log.some((line) => line['reason'] === 'a tensor is missing'));
  });

  it('refuses another harness than the one that is here', async () => {
    await using server = await startServer();
    const response = await post(server, '/models/load', { model_id: 'plain', harness: 'vllm' });
    expect(await errorOf(response)).toMatchObject({ status: 400, param: 'harness' });
    expect(server.harness.loads).toEqual([]);
  });
});

describe('POST /models/unload', () => {
  it('answers unloaded once it is, and 409 while requests run', async () => {
    await using server = await startServer();
    server.harness.catalogue = [fakeModel('plain', { status: 'loaded' })];
    server.harness.running = 1;
    const busy = await post(server, '/models/unload', { model_id: 'plain' });
    expect(await errorOf(busy)).toMatchObject({ status: 409, code: 'model_busy' });
    const forced = await post(server, '/models/unload', { model_id: 'plain', mode: 'force' });
    expect(await forced.json()).toEqual({ status: 'unloaded' });
    expect(server.harness.catalogue[0]).toMatchObject({ status: 'available' });
  });
});

describe('with the official SDK', () => {
  it('models are listed and found by id; those that cannot be served are not offered', async () => {
    await using server = await startServer();
    server.harness.catalogue.push(fakeModel('broken', { servable: { ok: false, reason: 'no such architecture' } }));
    const listed = await client(server).models.list();
    expect(listed.data.map(({ id }) => id)).toEqual(['org/tiny', 'plain']);
    expect(await client(server).models.retrieve('org/tiny')).toMatchObject({ owned_by: 'org', capabilities: ['text'] });
    await expect(client(server).models.retrieve('org/none')).rejects.toThrow(NotFoundError);
  });

  it('embeddings are the same numbers as base64 and as floats', async () => {
    await using server = await startServer();
    const ask = { model: 'plain', input: ['a', 'b'] };
    const packed = await client(server).embeddings.create(ask);
    const plain = await client(server).embeddings.create({ ...ask, encoding_format: 'float' });
    expect(packed.data.map(({ embedding }) => embedding)).toEqual([
      [0, 0.5, -1],
      [1, 0.5, -1],
    ]);
    expect(plain.data).toEqual(packed.data);
    expect(plain.usage).toEqual({ prompt_tokens: 2, total_tokens: 2 });
  });
});

describe('POST /tokenize', () => {
  it('counts a text', async () => {
    await using server = await startServer();
    const response = await post(server, '/tokenize', { model: 'plain', prompt: 'abc' });
    expect(await response.json()).toEqual({ count: 3, max_model_len: 4096, tokens: [97, 98, 99] });
  });

  it('wants either a prompt or messages', async () => {
    await using server = await startServer();
    const response = await post(server, '/tokenize', { model: 'plain' });
    expect(await errorOf(response)).toMatchObject({ status: 400, code: 'invalid_request', param: 'prompt' });
  });
});

describe('GET /metrics', () => {
  it('counts requests by model and outcome, and shows devices and models', async () => {
    await using server = await startServer();
    await post(server, '/models/load', { model_id: 'org/tiny', wait: true });
    await (await post(server, '/v1/chat/completions', hello)).text();
    await until(() => server.log.some((line) => line['model'] === 'org/tiny' && line['route'] !== '/models/load'));
    const text = await (await fetch(`${server.url}/metrics`)).text();
    for (const line of [
      'neuron_requests_total{model="org/tiny",route="chat",outcome="done"} 1',
      'neuron_prompt_tokens_total{model="org/tiny"} 7',
      'neuron_cached_prompt_tokens_total{model="org/tiny"} 1',
      'neuron_completion_tokens_total{model="org/tiny"} 2',
      'neuron_drafted_tokens_total{model="org/tiny"} 5',
      'neuron_drafted_right_tokens_total{model="org/tiny"} 3',
      'neuron_time_to_first_token_seconds_count{model="org/tiny"} 1',
      'neuron_model_in_flight{model="org/tiny"} 0',
      'neuron_device_vram_free_mb{device="0"} 750',
      'neuron_device_poisoned{device="0"} 0',
    ])
      expect(text).toContain(line);
  });

  it('counts what is refused before its model is known, under the route it was sent to', async () => {
    await using server = await startServer();
    await post(server, '/v1/chat/completions', '{"model": "x", ');
    await post(server, '/v1/embeddings', { model: 'plain', input: 7 });
    await post(server, '/models/load', { model_id: 7 });
    await until(() => server.log.filter((line) => line['status'] === 400).length === 3);
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toContain('neuron_requests_total{model="unknown",route="chat",outcome="error"} 1');
    expect(text).toContain('neuron_requests_total{model="unknown",route="embeddings",outcome="error"} 1');
    expect(text).toContain('neuron_request_errors_total{model="unknown",code="invalid_request"} 2');
  });

  it('makes no series for names that only a client knows', async () => {
    await using server = await startServer();
    for (const model of ['invented-1', 'invented-2']) await post(server, '/v1/chat/completions', { ...hello, model });
    await until(() => server.log.filter((line) => line['status'] === 404).length === 2);
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).not.toContain('invented');
    expect(text).toContain('neuron_request_errors_total{model="unknown",code="model_not_found"} 2');
  });
});

describe('what a client can get wrong', () => {
  it.each([
    ['broken JSON', '{"model": "x", ', {}, 400, 'invalid_request'],
    ['an empty body', '', {}, 400, 'invalid_request'],
    ['a JSON null', 'null', {}, 400, 'invalid_request'],
    ['no messages', { model: 'plain', messages: [] }, {}, 400, 'invalid_request'],
    ['a wrong type', { ...hello, temperature: 'warm' }, {}, 400, 'invalid_request'],
    ['a negative number', { ...hello, max_tokens: -1 }, {}, 400, 'invalid_request'],
    ['a content-type that is not JSON', 'model=x', { 'content-type': 'text/plain' }, 400, 'invalid_request'],
    ['a model that is not here', { ...hello, model: 'none' }, {}, 404, 'model_not_found'],
  ])('%s is answered in the envelope', async (_what, body, headers, status, code) => {
    await using server = await startServer();
    const response = await post(server, '/v1/chat/completions', body, headers);
    expect(await errorOf(response)).toMatchObject({ status, code, type: 'invalid_request_error' });
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
  });

  it('the field at fault is named', async () => {
    await using server = await startServer();
    const response = await post(server, '/v1/chat/completions', {
      model: 'plain',
      messages: [{ role: 'user', content: [{ type: 'text', text: 5 }] }],
    });
    expect((await errorOf(response))['param']).toMatch(/^messages\[0\]\.content/);
  });

  it('a quotation of the body does not reach the log', async () => {
    await using server = await startServer();
    await post(server, '/v1/chat/completions', '{"secret-word": nonsense');
    await until(() => server.log.some((line) => line['status'] === 400));
    expect(JSON.stringify(server.log)).not.toMatch(/secret-word|nonsense/);
  });

  it('an unknown path, and a method that a path does not take, are named', async () => {
    await using server = await startServer();
    const missing = await fetch(`${server.url}/v2/chat?key=1`);
    expect(await errorOf(missing)).toMatchObject({ status: 404, message: 'there is no /v2/chat here' });
    for (const method of ['GET', 'DELETE', 'PATCH']) {
      const response = await fetch(`${server.url}/v1/chat/completions`, { method });
      expect(await errorOf(response)).toMatchObject({ status: 404, message: '/v1/chat/completions takes POST' });
    }
  });

  it('a broken url and bytes that are not HTTP are answered too', async () => {
    await using server = await startServer();
    const url = await raw(server, 'GET /models/%zz/endpoint HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
    expect(url).toMatch(/^HTTP\/1\.1 400 .*"code":"invalid_request"/s);
    const noise = await raw(server, 'hello?\r\n\r\n');
    expect(noise).toMatch(/^HTTP\/1\.1 400 .*"code":"invalid_request"/s);
  });

  it('an internal error keeps its details in the log', async () => {
    await using server = await startServer();
    server.harness.script = () => {
      throw new TypeError('/secret/path is undefined');
    };
    const response = await post(server, '/v1/chat/completions', hello, { 'x-request-id': 'mine-1' });
    const error = await errorOf(response);
    expect(error).toMatchObject({ status: 500, code: 'internal_error' });
    expect(error['message']).toContain('mine-1');
    expect(error['message']).not.toContain('secret');
    await until(() => JSON.stringify(server.log).includes('/secret/path'));
  });

  it('a __proto__ in the body changes nobody', async () => {
    await using server = await startServer();
    const body = `{"__proto__":{"polluted":1},${JSON.stringify(hello).slice(1)}`;
    expect((await post(server, '/v1/chat/completions', body)).status).toBe(200);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect((server.harness.seen.at(0)?.request as { polluted?: unknown } | undefined)?.polluted).toBeUndefined();
  });
});

describe('x-request-id', () => {
  it('is taken from the caller, echoed, and given to the engine', async () => {
    await using server = await startServer();
    const response = await post(server, '/v1/chat/completions', hello, { 'x-request-id': 'abc-123' });
    expect(response.headers.get('x-request-id')).toBe('abc-123');
    expect(server.harness.seen[0]?.context.requestId).toBe('abc-123');
  });

  it('is replaced when it is not harmless', async () => {
    await using server = await startServer();
    for (const id of ['a b', '{"x":1}', 'x'.repeat(129)]) {
      const response = await post(server, '/v1/chat/completions', hello, { 'x-request-id': id });
      expect(response.headers.get('x-request-id')).toMatch(/^req_[0-9a-f-]{36}$/);
    }
  });
});

/** Clients that announce a megabyte and have sent this much of it. */
const halfSent = (server: { readonly url: string }, sent: string): Socket[] => {
  const port = Number(new URL(server.url).port);
  const head = `POST /tokenize HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n`;
  return Array.from({ length: 16 }, () => {
    const socket = connect(port, '127.0.0.1', () => socket.write(head + sent));
    return socket;
  });
};

describe('the body limit', () => {
  const tooLarge = { status: 413, code: 'request_too_large', limit_bytes: 1024 * 1024 };

  it('refuses by content-length before anything is read', async () => {
    await using server = await startServer();
    const length = 200 * 1024 * 1024;
    const head = `POST /tokenize HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n`;
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.write(head));
    const answer = await new Promise<string>((resolve) => {
      socket.once('data', (chunk) => resolve(chunk.toString()));
    });
    socket.destroy();
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  it('refuses a body that does not tell its length once it is over', async () => {
    await using server = await startServer();
    const body = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 40; i += 1) controller.enqueue(new Uint8Array(64 * 1024).fill(32));
        controller.close();
      },
    });
    const headers = { 'content-type': 'application/json' };
    const init: RequestInit = { method: 'POST', headers, body, duplex: 'half' };
    expect(await errorOf(await fetch(`${server.url}/tokenize`, init))).toMatchObject(tooLarge);
  });

  it('is also heard by a client that sends everything before it reads', async () => {
    await using server = await startServer();
    const body = 'x'.repeat(8 * 1024 * 1024);
    const head = `POST /tokenize HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1').pause();
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.write(head + body, () => resolve());
    });
    const answer = await new Promise<string>((resolve) => {
      socket.once('data', (chunk) => resolve(chunk.toString()));
      socket.resume();
    });
    socket.destroy();
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  it('lets a body of just that size pass', async () => {
    await using server = await startServer();
    const empty = JSON.stringify({ model: 'plain', prompt: '' });
    const body = JSON.stringify({ model: 'plain', prompt: 'x'.repeat(1024 * 1024 - empty.length) });
    expect((await post(server, '/tokenize', body)).status).toBe(200);
  });

  it('frees the memory budget when requests end, also when their client left midway', async () => {
    await using server = await startServer();
    const sockets = halfSent(server, '{'.repeat(999_999));
    const body = { model: 'plain', prompt: 'x'.repeat(900_000) };
    let status = 200;
    while (status === 200) status = (await post(server, '/tokenize', body)).status;
    expect(status).toBe(503);
    for (const socket of sockets) socket.destroy();
    while (status === 503) status = (await post(server, '/tokenize', body)).status;
    expect(status).toBe(200);
  });

  it('takes nothing from the memory budget for what was only announced', async () => {
    await using server = await startServer();
    const sockets = halfSent(server, '{');
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const body = { model: 'plain', prompt: 'x'.repeat(900_000) };
    for (let i = 0; i < 8; i++) expect((await post(server, '/tokenize', body)).status).toBe(200);
    for (const socket of sockets) socket.destroy();
  });

  it('may be compressed, and is then no larger than the limit when it is unpacked', async () => {
    await using server = await startServer();
    const send = (prompt: string): Promise<Response> =>
      fetch(`${server.url}/tokenize`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
        body: gzipSync(JSON.stringify({ model: 'plain', prompt })),
      });
    expect((await send('x'.repeat(900_000))).status).toBe(200);
    expect((await send('x'.repeat(2_000_000))).status).toBe(413);
  });

  it('nests no deeper than any schema does', async () => {
    await using server = await startServer();
    const deep = `{"model":"plain","prompt":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
    expect(await errorOf(await post(server, '/tokenize', deep))).toMatchObject({
      status: 400,
      code: 'invalid_request',
    });
  });
});

describe('the shared token', () => {
  const token = 'a-shared-secret';
  const hashed = `sha256:${createHash('sha256').update(token).digest('hex')}`;

  it.each([
    ['as it is', token],
    ['as its hash', hashed],
  ])('kept %s, is asked for on every call', async (_how, configured) => {
    await using server = await startServer({ token: configured });
    expect((await withToken(server, `Bearer ${token}`)).status).toBe(200);
    for (const wrong of [undefined, 'Bearer wrong-secret', `Basic ${token}`, 'Bearer ', hashed]) {
      const response = await withToken(server, wrong);
      expect(response.headers.get('www-authenticate')).toBe('Bearer');
      expect(await errorOf(response)).toMatchObject({ status: 401, code: 'invalid_api_key' });
    }
    expect(JSON.stringify(server.log)).not.toContain(token);
  });
});
