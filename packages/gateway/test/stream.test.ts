/** The proxy with its streams: what passes, when it passes, and what happens when somebody leaves. */
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CortexError } from '@cortex/core';
import { afterEach, describe, expect, it } from 'vitest';
import { eventually, startEdge, type Edge, type EdgeOptions } from './start-edge.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const start = async (options: EdgeOptions = {}): Promise<Edge> => {
  const edge = await startEdge(options);
  closers.push(() => edge.close());
  return edge;
};

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const messages = [{ role: 'user', content: 'hello' }];
const streaming = { model: 'm', stream: true, messages };

/** A streamed request whose pieces come as the socket gives them. */
const open = (edge: Edge, body: unknown, headers: Record<string, string> = {}): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const request = httpRequest(`${edge.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      agent: false,
    });
    request.once('response', resolve);
    request.once('error', reject);
    request.end(text);
  });

const textOf = async (response: IncomingMessage): Promise<string> => {
  let text = '';
  for await (const piece of response) text += String(piece);
  return text;
};

/** A node that writes whatever a test wants, byte by byte. */
const rawNode = async (answer: (response: ServerResponse, body: string) => void): Promise<{ url: string }> => {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece: Buffer) => {
      body += piece.toString();
    });
    request.on('end', () => answer(response, body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(
    () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
};

const overRaw = (url: string, options: EdgeOptions = {}): Promise<Edge> =>
  start({ ...options, fleet: { nodes: [{ name: 'raw', endpoint: url }] } });

const event = (content: string): string =>
  `data: {"id":"x","choices":[{"index":0,"delta":{"content":${JSON.stringify(content)}}}]}\n\n`;

describe('what the node is sent', () => {
  it('is the client’s own bytes when the name fits and usage is asked for', async () => {
    const edge = await start();
    const body = `{ "model":"m",\n"seed":12345678901234567890, "stream":true,
      "stream_options":{"include_usage":true},"messages":[{"role":"user","content":"\\u00fc"}] }`;
    await textOf(await open(edge, body));
    expect(edge.node.seen[0]?.body).toBe(body);
  });

  it('has nothing changed but the name and the wish for usage', async () => {
    const edge = await start();
    const body =
      '{"seed":12345678901234567890,"model":"alias","stream":true,"messages":[{"role":"user","content":"x"}]}';
    await textOf(await open(edge, body));
    expect(edge.node.seen[0]?.body).toBe(
      body.replace('"alias"', '"m"').replace('{', '{"stream_options":{"include_usage":true},'),
    );
  });

  it('has end-to-end headers, ours for the request, and none of one connection', async () => {
    const edge = await start();
    const headers = {
      connection: 'keep-alive, x-private',
      'x-private': '1',
      te: 'trailers',
      'x-custom': 'kept',
      'accept-encoding': 'gzip',
      via: '1.0 front',
    };
    await textOf(await open(edge, streaming, { ...headers, 'x-request-id': 'r-1' }));
    const sent = edge.node.seen[0]?.headers ?? {};
    expect(sent).toMatchObject({ 'x-custom': 'kept', 'x-request-id': 'r-1', via: '1.0 front, 1.1 cortex-test' });
    for (const name of ['x-private', 'te', 'accept-encoding']) expect(sent).not.toHaveProperty(name);
  });

  it('is nothing at all when the request has been through here before', async () => {
    const edge = await start();
    const response = await open(edge, streaming, { via: '1.1 cortex-test' });
    expect([response.statusCode, await textOf(response)]).toEqual([503, expect.stringContaining('already passed')]);
    expect(edge.node.seen).toHaveLength(0);
  });
});

describe('what the client is sent', () => {
  it('is every event as the node wrote it, as soon as it is there', async () => {
    const written: string[] = [
      event('a'),
      ': note\n\n',
      event('b'),
      'event: x\r\ndata: {"choices":[]}\r\n\r\n',
      event('ü'),
    ];
    const rest = [...written, 'data: [DONE]\n\n'];
    let node: ServerResponse | null = null;
    const next = (): void => {
      const piece = rest.shift();
      if (piece !== undefined) node?.write(piece);
      if (rest.length === 0) node?.end();
    };
    const { url } = await rawNode((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      node = response;
      next();
    });
    const edge = await overRaw(url);
    const response = await open(edge, { ...streaming, stream_options: { include_usage: true } });
    let text = '';
    for await (const piece of response) {
      text += String(piece);
      // The next is written only when the one before has arrived: a buffered stream would hang here.
      next();
    }
    expect(text).toBe(`${written.join('')}data: [DONE]\n\n`);
    expect(response.headers['content-type']).toBe('text/event-stream');
  });

  it('comes in whole events however the node cuts them', async () => {
    const all = Buffer.from(`${event('ä')}${event('😀')}data: [DONE]\n\n`);
    const { url } = await rawNode(async (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const byte of all) {
        response.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    });
    const edge = await overRaw(url);
    expect(await textOf(await open(edge, streaming))).toBe(all.toString());
  });

  it('begins with the first event, also behind a byte order mark', async () => {
    const { url } = await rawNode(async (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      for (const byte of Buffer.from('\uFEFF')) {
        response.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end(`${event('a')}data: [DONE]\n\n`);
    });
    const edge = await overRaw(url);
    expect(await textOf(await open(edge, streaming))).toBe(`${event('a')}data: [DONE]\n\n`);
  });

  it.each(['', '\n', '\r', '\r\n'])('is complete where the node closes %j behind its last line', async (close) => {
    const { url } = await rawNode((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(`${event('a')}data: [DONE]${close}`);
    });
    const edge = await overRaw(url);
    const text = await textOf(await open(edge, streaming));
    expect(text.replaceAll(/\r\n?/g, '\n')).toBe(`${event('a')}data: [DONE]\n\n`);
  });

  it.each([true, false])('is the answer and not what the node said in advance (stream: %s)', async (stream) => {
    const { url } = await rawNode((response) => {
      response.writeProcessing();
      response.writeEarlyHints({ link: '</style.css>; rel=preload' });
      if (stream) response.end(`${event('a')}data: [DONE]\n\n`);
      else response.end('{"choices":[]}');
    });
    const edge = await overRaw(url);
    const response = await open(edge, { ...streaming, stream });
    expect(response.statusCode).toBe(200);
    expect(await textOf(response)).toBe(stream ? `${event('a')}data: [DONE]\n\n` : '{"choices":[]}');
  });

  it('does not hold the usage that only the gateway asked for', async () => {
    const edge = await start();
    const text = await textOf(await open(edge, streaming));
    expect(text).not.toContain('prompt_tokens');
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    await eventually(() => edge.log.some((line) => line['completionTokens'] === 8));
  });

  it('is the node’s headers without those of its connection', async () => {
    const { url } = await rawNode((response) => {
      response.writeHead(200, {
        'x-kept': '1',
        connection: 'close, x-gone',
        'x-gone': '1',
        'content-type': 'application/json',
      });
      response.end('{"choices":[]}');
    });
    const edge = await overRaw(url);
    const { headers } = await open(edge, { model: 'm', messages });
    expect(headers).toMatchObject({ 'x-kept': '1', 'x-cortex-node': 'raw', 'content-length': '14' });
    expect(headers).not.toHaveProperty('x-gone');
  });

  it('passes answers that are too large to hold', async () => {
    const size = 12 * 1024 * 1024;
    const { url } = await rawNode((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(`{"data":"${'x'.repeat(size)}","usage":{"prompt_tokens":7,"total_tokens":7}}`);
    });
    const edge = await overRaw(url);
    const response = await open(edge, { model: 'm', messages });
    expect((await textOf(response)).length).toBeGreaterThan(size);
    await eventually(() => edge.log.some((line) => line['promptTokens'] === 7));
  });
});

describe('a request that waits', () => {
  const config = '[gateway]\nkeepalive_secs = 0.05\n';

  it('is kept alive with what it waits for, and told its node once it has one', async () => {
    const edge = await start({ config, model: { first_token_ms: 160, keepalive_ms: 40 } });
    edge.fleet.coldStart = true;
    edge.fleet.wait = async (progress) => {
      progress({ kind: 'queued', position: 2 });
      await new Promise((resolve) => setTimeout(resolve, 80));
      progress({ kind: 'loading', node: 'a', fraction: 0.42, etaSecs: 11.2 });
      await new Promise((resolve) => setTimeout(resolve, 80));
    };
    const response = await open(edge, streaming);
    const text = await textOf(response);
    expect(text).toContain(': queued, position 2\n\n');
    expect(text).toContain(': loading on a, 42 %, about 12 s left\n\n');
    expect(text).toMatch(/: x-cortex-node=a x-cortex-cold-start=true x-cortex-queue-ms=0 x-cortex-load-ms=\d{3,}\n\n/);
    expect(text).toContain(': prefill ');
    expect(text).toMatch(/w7 [\s\S]*data: \[DONE\]\n\n$/);
  });

  it('that fails after the first keepalive ends in an error event', async () => {
    const edge = await start({ config });
    edge.node.faults.push({ kind: 'status', status: 503, code: 'overloaded' });
    edge.fleet.wait = () => new Promise((resolve) => setTimeout(resolve, 120));
    const response = await open(edge, streaming);
    expect(response.statusCode).toBe(200);
    expect(await textOf(response)).toMatch(/data: \{"error":\{[^\n]*"code":"overloaded"[^\n]*\}\}\n\n$/);
  });

  const blank = '[gateway]\nwhole_keepalive_secs = 0.05\n';

  it('for a whole answer gets blank lines before it, and its figures as trailers', async () => {
    const edge = await start({ config: blank, nNodes: 2, model: { first_token_ms: 120 } });
    edge.fleet.coldStart = true;
    edge.fleet.wait = () => sleep(120);
    edge.nodes[0]?.faults.push({ kind: 'reset_before_headers' });
    const response = await open(edge, { model: 'm', messages });
    expect(response.headers['content-type']).toContain('application/json');
    expect(response.headers).not.toHaveProperty('x-cortex-node');
    const text = await textOf(response);
    expect(text).toMatch(/^\n{3,}\{/);
    expect(JSON.parse(text)).toMatchObject({ choices: [{ message: { role: 'assistant' } }] });
    expect(response.trailers).toMatchObject({ 'x-cortex-node': 'b', 'x-cortex-cold-start': 'true' });
    expect(Number(response.trailers['x-cortex-load-ms'])).toBeGreaterThan(200);
  });

  it('for a whole answer that comes soon gets nothing before it, and its headers', async () => {
    const edge = await start({ config: '[gateway]\nwhole_keepalive_secs = 30\n' });
    const response = await open(edge, { model: 'm', messages });
    expect(response.headers).toMatchObject({ 'x-cortex-node': 'a' });
    expect(response.headers).not.toHaveProperty('trailer');
    expect((await textOf(response)).startsWith('{')).toBe(true);
  });

  it('for a whole answer that fails after blank lines says why, and never ends well', async () => {
    const edge = await start({ config: blank });
    edge.fleet.wait = async () => {
      await sleep(120);
      throw new CortexError('model_load_failed', 'bad tensor');
    };
    const response = await open(edge, { model: 'm', messages });
    let text = '';
    response.on('data', (piece: Buffer) => (text += piece.toString()));
    await expect(once(response, 'end')).rejects.toThrow(/aborted/);
    expect(JSON.parse(text)).toMatchObject({ error: { code: 'model_load_failed', message: 'bad tensor' } });
    await eventually(() => edge.log.some((line) => line['code'] === 'model_load_failed'));
  });

  it('can still be given to another node after keepalives were sent', async () => {
    const edge = await start({ config, nNodes: 2, model: { first_token_ms: 120 } });
    edge.node.faults.push({ kind: 'reset_mid_stream', after_tokens: 0 });
    const text = await textOf(await open(edge, streaming));
    expect(text).toContain('x-cortex-node=b');
    expect(text.match(/"role":"assistant"/g)).toHaveLength(1);
    expect(text).toMatch(/w7 [\s\S]*data: \[DONE\]\n\n$/);
    expect(edge.fleet.released.map(({ node, outcome }) => [node, outcome.kind])).toEqual([
      ['a', 'failed'],
      ['b', 'done'],
    ]);
  });
});

describe('a client that leaves', () => {
  it('stops the node’s work at once, in the middle of a stream', async () => {
    const edge = await start({ model: { token_ms: 20, tokens: 1000 } });
    const response = await open(edge, streaming);
    await new Promise((resolve) => response.once('data', resolve));
    const leftMs = performance.now();
    response.destroy();
    await eventually(() => edge.node.nInFlight === 0);
    expect(performance.now() - leftMs).toBeLessThan(250);
    expect(edge.node.nAborted).toBe(1);
    await eventually(() => edge.log.some((line) => line['outcome'] === 'cancelled'));
    expect(edge.fleet.released).toEqual([{ node: 'a', outcome: { kind: 'client' } }]);
    expect(edge.log.at(-1)).toMatchObject({ status: 499, code: 'client_closed_request' });
    expect(edge.log.at(-1)?.['completionTokens']).toBeGreaterThan(0);
  });

  it('stops it while it waits for a whole answer, or for its first token', async () => {
    const edge = await start({ model: { first_token_ms: 60_000 } });
    for (const body of [streaming, { model: 'm', messages }]) {
      const request = httpRequest(`${edge.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        agent: false,
      });
      request.on('error', () => undefined);
      request.end(JSON.stringify(body));
      await eventually(() => edge.node.nInFlight === 1);
      request.destroy();
      await eventually(() => edge.node.nInFlight === 0);
    }
    expect(edge.fleet.nLeased).toBe(0);
  });

  it('leaves the queue', async () => {
    const edge = await start();
    let aborted = false;
    edge.fleet.wait = (_progress, signal) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          aborted = true;
          resolve();
        });
      });
    const request = httpRequest(`${edge.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      agent: false,
    });
    request.on('error', () => undefined);
    request.end(JSON.stringify(streaming));
    await eventually(() => edge.fleet.requests.length === 1);
    request.destroy();
    await eventually(() => aborted);
    expect(edge.node.seen).toHaveLength(0);
  });
});

describe('a client that reads slowly', () => {
  it('slows the node down instead of filling memory, and is no stall of the node', async () => {
    const edge = await start({
      config: '[proxy]\ntoken_gap_timeout_secs = 0.15\n',
      model: { tokens: 4000, piece_bytes: 4000 },
    });
    const response = await open(edge, streaming);
    response.pause();
    await new Promise((resolve) => setTimeout(resolve, 400));
    // 16 MB are on offer; only what fits the sockets' buffers may have left the node.
    expect(edge.node.nInFlight).toBe(1);
    const text = await textOf(response);
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    expect(text.match(/w3999 /g)).toHaveLength(1);
  });
});

describe('a shutdown', () => {
  it('lets running streams end, and refuses new ones', async () => {
    const edge = await start({ model: { token_ms: 30 } });
    const response = await open(edge, streaming);
    const drained = edge.server.drain(5000);
    const refused = await open(edge, streaming);
    expect(refused.statusCode).toBe(503);
    expect(refused.headers).toMatchObject({ 'retry-after': '5', connection: 'close' });
    expect((await fetch(`${edge.url}/health`)).status).toBe(503);
    expect(await textOf(response)).toMatch(/w7 [\s\S]*data: \[DONE\]\n\n$/);
    await drained;
  });

  it('waits for a body that is still being sent, and for an answer that is still being read', async () => {
    const edge = await start({ model: { piece_bytes: 2_000_000 } });
    const headers = { 'content-type': 'application/json' };
    const request = httpRequest(`${edge.url}/v1/chat/completions`, { method: 'POST', headers, agent: false });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve).once('error', reject);
    });
    request.write('{"model":"m",');
    const inFlight = async (): Promise<unknown> =>
      ((await (await fetch(`${edge.url}/health`)).json()) as Record<string, unknown>)['in_flight'];
    await expect.poll(inFlight, { timeout: 5000 }).toBe(1);
    const closed = edge.server.drain(5000).then(() => edge.server.close());
    await new Promise((resolve) => setTimeout(resolve, 50));
    request.end(`"messages":${JSON.stringify(messages)}}`);
    const response = await answered;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await textOf(response)).length).toBeGreaterThan(16_000_000);
    await closed;
  });

  it('tells those that outlast its grace', async () => {
    const edge = await start({ model: { token_ms: 30, tokens: 1000 } });
    const response = await open(edge, streaming);
    const text = textOf(response);
    await edge.server.drain(50);
    expect(await text).toMatch(/data: \{"error":\{[^\n]*"code":"overloaded"[^\n]*\}\}\n\n$/);
    await eventually(() => edge.node.nInFlight === 0);
  });
});
