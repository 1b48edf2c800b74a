import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import OpenAI, { RateLimitError } from 'openai';
import { describe, expect, it } from 'vitest';
import { CortexError, type CompletionEvent, type RequestContext } from '@cortex/core';
import { fakeModel, hangs, replays, says, usageOf, type Script } from '../../test/fake-harness.ts';
import { startServer, until, type TestServer } from '../../test/start-server.ts';

const messages = [{ role: 'user' as const, content: 'hi' }];
const ask = { model: 'org/tiny', messages };

const client = (server: TestServer): OpenAI =>
  new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });

const post = (server: TestServer, body: object, init: RequestInit = {}): Promise<Response> =>
  fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...init,
  });

/** A request over a bare socket, so that the test decides what is read and when it is closed. */
const openSocket = (server: TestServer, body: object): Socket => {
  const text = JSON.stringify(body);
  const head = `POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n`;
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.write(head + text));
  socket.on('error', () => {});
  return socket;
};

const requestLine = async (server: TestServer): Promise<Record<string, unknown>> => {
  const find = (): Record<string, unknown> | undefined =>
    server.log.find((line) => line['route'] === '/v1/chat/completions');
  await until(() => find() !== undefined);
  return find()!;
};

/** A prompt of 2048 tokens that takes its time. */
async function* slowPrefill(): AsyncGenerator<CompletionEvent> {
  yield { kind: 'accepted', promptTokens: 2048 };
  yield { kind: 'prefill', done: 512, total: 2048 };
  await delay(140);
  yield { kind: 'prefill', done: 1024, total: 2048 };
  await delay(80);
  yield { kind: 'text', choice: 0, text: 'x' };
  yield { kind: 'finish', choice: 0, reason: 'stop' };
  yield { kind: 'usage', usage: usageOf(2048, 1) };
}

async function* failsToLoad(): AsyncGenerator<CompletionEvent> {
  yield { kind: 'loading', fraction: 0.25, phase: 'weights' };
  await delay(120);
  yield { kind: 'loading', fraction: 0.5, phase: 'weights' };
  throw new CortexError('insufficient_vram', 'there is no room');
}

/** Text without end, as fast as it is taken. */
async function* endless(_request: unknown, { signal }: RequestContext): AsyncGenerator<CompletionEvent> {
  yield { kind: 'accepted', promptTokens: 1 };
  while (!signal.aborted) yield { kind: 'text', choice: 0, text: 'x'.repeat(64 * 1024) };
}

describe('a chat completion, whole', () => {
  it('is what the official SDK expects', async () => {
    await using server = await startServer();
    const answer = await client(server).chat.completions.create(ask);
    expect(answer.object).toBe('chat.completion');
    expect(answer.choices[0]).toMatchObject({ message: { content: 'Hello there' }, finish_reason: 'stop' });
    expect(answer.usage).toMatchObject({ prompt_tokens: 7, completion_tokens: 2, total_tokens: 9 });
    expect(server.harness.seen[0]?.request).toMatchObject(ask);
  });

  it('leaves one log line, with numbers and without any text', async () => {
    await using server = await startServer();
    server.harness.script = says(['top secret answer']);
    await client(server).chat.completions.create({ ...ask, messages: [{ role: 'user', content: 'private question' }] });
    expect(await requestLine(server)).toMatchObject({
      status: 200,
      outcome: 'done',
      model: 'org/tiny',
      promptTokens: 7,
      cachedTokens: 1,
      completionTokens: 1,
      ttftMs: expect.any(Number),
      stream: false,
    });
    expect(JSON.stringify(server.log)).not.toMatch(/secret answer|private question/);
  });

  it('carries the status and Retry-After of what the engine refused', async () => {
    await using server = await startServer();
    server.harness.script = replays(
      [],
      new CortexError('rate_limit_exceeded', 'the queue is full', { retryAfterSecs: 3 }),
    );
    const response = await post(server, ask);
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '3']);
    await expect(client(server).chat.completions.create(ask)).rejects.toThrow(RateLimitError);
  });

  it('is an error when the engine fails midway: half an answer is none', async () => {
    await using server = await startServer();
    const half: CompletionEvent[] = [
      { kind: 'accepted', promptTokens: 1 },
      { kind: 'text', choice: 0, text: 'half' },
    ];
    server.harness.script = replays(half, new CortexError('device_poisoned', 'the device failed'));
    expect((await post(server, ask)).status).toBe(503);
    server.harness.script = replays(half);
    expect((await post(server, ask)).status).toBe(500);
  });
});

describe('a chat completion, streamed', () => {
  it('is what the official SDK expects, with usage when it is asked for', async () => {
    await using server = await startServer();
    const stream = await client(server).chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks[0]?.choices[0]?.delta).toMatchObject({ role: 'assistant' });
    expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe('Hello there');
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 9 } });
  });

  it.each([
    [
      { include_usage: true, continuous_usage_stats: true },
      { prompt_tokens: 7, completion_tokens: 0, total_tokens: 7 },
    ],
    [{ include_usage: true, continuous_usage_stats: false }, null],
    [{ continuous_usage_stats: true }, undefined],
  ])('tells the prompt with its first chunk when asked to: %j', async (options, expected) => {
    await using server = await startServer();
    const text = await (await post(server, { ...ask, stream: true, stream_options: options })).text();
    const first = JSON.parse(text.slice('data: '.length, text.indexOf('\n'))) as { usage?: unknown };
    expect(first.usage).toEqual(expected);
  });

  it('refuses stream options of a wrong type', async () => {
    await using server = await startServer();
    const body = { ...ask, stream: true, stream_options: { continuous_usage_stats: 'yes' } };
    const response = await post(server, body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param: 'stream_options.continuous_usage_stats' } });
  });

  it('ends in [DONE], once', async () => {
    await using server = await startServer();
    const text = await (await post(server, { ...ask, stream: true })).text();
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
    expect(text.split('[DONE]')).toHaveLength(2);
  });

  it('sends its headers when the engine has accepted, before any text', async () => {
    await using server = await startServer();
    server.harness.script = hangs();
    const abort = new AbortController();
    const response = await post(server, { ...ask, stream: true }, { signal: abort.signal });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    expect(response.headers.get('x-cortex-prompt-tokens')).toBe('7');
    abort.abort();
  });

  it('keeps the status of what is refused before that', async () => {
    await using server = await startServer();
    server.harness.script = replays(
      [],
      new CortexError('vision_unsupported', 'this model cannot see', { param: 'messages' }),
    );
    const response = await post(server, { ...ask, stream: true });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 'vision_unsupported', param: 'messages' } });
  });

  it('fails midway in an error frame and without [DONE]', async () => {
    await using server = await startServer();
    server.harness.script = replays(
      [
        { kind: 'accepted', promptTokens: 1 },
        { kind: 'text', choice: 0, text: 'half' },
      ],
      new CortexError('device_poisoned', 'the device failed'),
    );
    const text = await (await post(server, { ...ask, stream: true })).text();
    const frames = text.trim().split('\n\n');
    expect(frames.at(-1)).toMatch(/^data: \{"error":\{.*"code":"device_poisoned"/);
    expect(text).not.toContain('[DONE]');
    const stream = await client(server).chat.completions.create({ ...ask, stream: true });
    await expect(async () => {
      for await (const _chunk of stream);
    }).rejects.toThrow('the device failed');
    expect(await requestLine(server)).toMatchObject({ outcome: 'error', code: 'device_poisoned', stream: true });
  });

  it('does not pass off an answer that just stops as a complete one', async () => {
    await using server = await startServer();
    server.harness.script = replays([
      { kind: 'accepted', promptTokens: 1 },
      { kind: 'text', choice: 0, text: 'half' },
    ]);
    const text = await (await post(server, { ...ask, stream: true })).text();
    expect(text).toContain('"code":"internal_error"');
    expect(text).not.toContain('[DONE]');
  });

  it('says in comments how far it is, while it is silent', async () => {
    await using server = await startServer({ keepaliveMs: 50 });
    server.harness.script = slowPrefill;
    const text = await (await post(server, { ...ask, stream: true })).text();
    expect(text).toMatch(/^: prefill 512\/2048\n\n/);
    expect(text).toContain(': prefill 1024/2048\n\n');
    expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  });

  it('begins while the model is still being loaded, and fails in the stream where that fails', async () => {
    await using server = await startServer({ keepaliveMs: 40 });
    server.harness.script = failsToLoad;
    const response = await post(server, { ...ask, stream: true });
    const text = await response.text();
    expect(response.status).toBe(200);
    expect(text).toMatch(/^: loading 25 % weights\n\n/);
    expect(text).toContain('insufficient_vram');
    expect(text).not.toContain('[DONE]');
  });

  it('says nothing in comments while text flows', async () => {
    await using server = await startServer({ keepaliveMs: 200 });
    server.harness.script = says(
      Array.from({ length: 30 }, () => 'x'),
      10,
    );
    const text = await (await post(server, { ...ask, stream: true })).text();
    expect(text).not.toMatch(/^:/m);
  });
});

describe('text completions', () => {
  it('answer the official SDK, whole and streamed', async () => {
    await using server = await startServer();
    const request = { model: 'plain', prompt: 'Once' };
    const whole = await client(server).completions.create(request);
    expect(whole.choices[0]).toMatchObject({ text: 'Hello there', finish_reason: 'stop' });
    const stream = await client(server).completions.create({ ...request, stream: true });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
    expect(text).toBe('Hello there');
  });
});

describe('a client that leaves', () => {
  const cases: [string, object, Script][] = [
    ['a whole answer', ask, hangs()],
    ['a whole answer before it is accepted', ask, hangs([])],
    ['a stream', { ...ask, stream: true }, hangs()],
    ['a stream before it is accepted', { ...ask, stream: true }, hangs([])],
    [
      'a stream in full flow',
      { ...ask, stream: true },
      says(
        Array.from({ length: 10_000 }, () => 'x'),
        1,
      ),
    ],
  ];

  it.each(cases)('stops the work at once: %s', async (_what, body, script) => {
    await using server = await startServer();
    server.harness.script = script;
    const socket = openSocket(server, body);
    await until(() => server.harness.running === 1);
    const left = performance.now();
    socket.destroy();
    await until(() => server.harness.seen.at(0)?.context.signal.aborted === true);
    expect(performance.now() - left).toBeLessThan(250);
    await until(() => server.harness.running === 0);
    expect(await requestLine(server)).toMatchObject({ status: 499, outcome: 'cancelled' });
  });

  it('politely, by closing only its own half, stops it too', async () => {
    await using server = await startServer();
    server.harness.script = hangs();
    const socket = openSocket(server, ask);
    await until(() => server.harness.running === 1);
    socket.end();
    await until(() => server.harness.running === 0);
    expect(server.harness.seen.at(0)?.context.signal.aborted).toBe(true);
  });

  it('through an SDK stream that is broken out of, stops it too', async () => {
    await using server = await startServer();
    server.harness.script = says(
      Array.from({ length: 10_000 }, () => 'x'),
      1,
    );
    const stream = await client(server).chat.completions.create({ ...ask, stream: true });
    for await (const _chunk of stream) break;
    await until(() => server.harness.running === 0);
    expect(server.harness.seen.at(0)?.context.signal.aborted).toBe(true);
  });

  it('does not disturb the next request on the same connection', async () => {
    await using server = await startServer();
    for (let i = 0; i < 3; i += 1) {
      await client(server).chat.completions.create(ask);
      expect(server.harness.seen[i]?.context.signal.aborted).toBe(false);
    }
  });

  it('is counted in the metrics, with the tokens it was sent', async () => {
    await using server = await startServer();
    server.harness.catalogue = [fakeModel('org/tiny', { status: 'loaded' })];
    server.harness.script = hangs([
      { kind: 'accepted', promptTokens: 7 },
      { kind: 'text', choice: 0, text: 'a' },
      { kind: 'text', choice: 0, text: 'b' },
    ]);
    const socket = openSocket(server, { ...ask, stream: true });
    await until(() => server.harness.running === 1);
    await delay(20);
    socket.destroy();
    await requestLine(server);
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toContain('neuron_requests_total{model="org/tiny",route="chat",outcome="cancelled"} 1');
    expect(text).toContain('neuron_completion_tokens_total{model="org/tiny"} 2');
  });
});

describe('a client that reads slowly', () => {
  it('holds the engine back instead of filling memory, and still gets everything', async () => {
    await using server = await startServer();
    const piece = 'x'.repeat(16 * 1024);
    let yielded = 0;
    server.harness.script = async function* flood() {
      yield { kind: 'accepted', promptTokens: 1 };
      for (; yielded < 4000; yielded += 1) yield { kind: 'text', choice: 0, text: piece };
      yield { kind: 'finish', choice: 0, reason: 'stop' };
      yield { kind: 'usage', usage: usageOf(1, yielded) };
    };
    const socket = openSocket(server, { ...ask, stream: true }).pause();
    await until(() => yielded > 0);
    for (let before = -1; before !== yielded; await delay(100)) before = yielded;
    // What the kernel's two socket buffers take, and no more: far from the 64 MB that are there to be sent.
    expect(yielded).toBeLessThan(1500);
    let received = '';
    socket.on('data', (chunk) => (received = (received + chunk.toString()).slice(-200)));
    socket.resume();
    await until(() => received.includes('[DONE]'));
    expect(yielded).toBe(4000);
    socket.destroy();
  });

  it('is cut off when it reads nothing at all', async () => {
    await using server = await startServer({ stallMs: 100 });
    server.harness.script = endless;
    const socket = openSocket(server, { ...ask, stream: true }).pause();
    expect(await requestLine(server)).toMatchObject({ outcome: 'cancelled', status: 499 });
    await until(() => server.harness.running === 0);
    socket.destroy();
  });
});

describe('a shutdown', () => {
  it('lets running requests end, and answers new ones 503 meanwhile', async () => {
    await using server = await startServer();
    server.harness.script = says(['a', 'b', 'c'], 60);
    const running = post(server, { ...ask, stream: true }).then((response) => response.text());
    await until(() => server.harness.running === 1);
    const drained = server.server.drain(5000);
    const refused = await post(server, ask);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('5');
    expect(await refused.json()).toMatchObject({ error: { code: 'overloaded' } });
    expect(await (await fetch(`${server.url}/health`)).json()).toMatchObject({ status: 'draining' });
    await drained;
    expect(await running).toContain('[DONE]');
  });

  it('ends those that outlast the grace, in an error that can be retried', async () => {
    await using server = await startServer();
    server.harness.script = hangs();
    const stream = post(server, { ...ask, stream: true }).then((response) => response.text());
    const whole = post(server, ask);
    await until(() => server.harness.running === 2);
    await server.server.drain(50);
    expect(await stream).toMatch(/"code":"overloaded"(?!.*\[DONE\])/s);
    expect((await whole).status).toBe(503);
    expect(server.harness.running).toBe(0);
  });

  it('does not wait when nothing runs', async () => {
    await using server = await startServer();
    const started = performance.now();
    await server.server.drain(60_000);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
