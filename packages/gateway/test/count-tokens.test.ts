/** `/v1/messages/count_tokens` over a real fleet: never a load, never a use, by whatever call the engine knows. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { cortexConfigSchema, modelsConfigSchema } from '@cortex/core';
import { startGateway, type Gateway } from '../src/main.ts';
import { FakeNeuron } from './fake-neuron/fake-neuron.ts';
import { newModel, type FakeModel } from './fake-neuron/settings.ts';

type Json = Readonly<Record<string, unknown>>;

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

const neuron = async (models: readonly FakeModel[], name = 'a'): Promise<FakeNeuron> => {
  const node = await new FakeNeuron({ name, models }).start();
  closers.push(() => node.stop());
  return node;
};

const start = async (nodes: {
  readonly neurons?: readonly { readonly name: string; readonly url: string }[];
  readonly upstream?: string;
}): Promise<Gateway> => {
  const { neurons = [], upstream } = nodes;
  const cortex = cortexConfigSchema.parse({
    gateway: { listen: '127.0.0.1:0', metrics_listen: '127.0.0.1:0' },
    poller: { interval_secs: 0.1 },
    neurons: neurons.map(({ name, url }) => ({ name, endpoint: url })),
    upstreams: upstream === undefined ? [] : [{ name: 'engine', endpoint: upstream, api_key: 'theirs' }],
  });
  const models = modelsConfigSchema.parse({});
  const gateway = await startGateway({ cortex, models, modelsFile: null }, { write: () => undefined });
  closers.push(() => gateway.close(0));
  const untilMs = performance.now() + 5000;
  for (;;) {
    const { nodes: seen } = (await (await fetch(`${gateway.url}/health`)).json()) as {
      nodes: { up: number; total: number };
    };
    if (seen.up === seen.total) return gateway;
    if (performance.now() > untilMs) throw new Error('the nodes did not come up');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

const base = { model: 'm', messages: [{ role: 'user', content: 'hello' }] };

const count = async (gateway: Gateway, more: Json = {}): Promise<{ status: number; body: Json }> => {
  const response = await fetch(`${gateway.url}/v1/messages/count_tokens`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'anthropic-version': '2023-06-01' },
    body: JSON.stringify({ ...base, ...more }),
  });
  return { status: response.status, body: (await response.json()) as Json };
};

describe('a count of tokens', () => {
  it('loads nothing, however often it is asked', async () => {
    const node = await neuron([newModel('m')]);
    const gateway = await start({ neurons: [node] });
    for (let i = 0; i < 5; i += 1) expect(await count(gateway)).toMatchObject({ status: 200 });
    expect(node.store.loaded).toEqual([]);
    expect(node.seen.map(({ path }) => path)).toEqual(Array.from({ length: 5 }, () => '/tokenize'));
  });

  it('is no use of a loaded model: it becomes as idle as without', async () => {
    const gateway = await start({ neurons: [await neuron([newModel('m', { status: 'loaded' })])] });
    const idle = async (): Promise<number> => {
      const fleet = (await (await fetch(`${gateway.url}/api/fleet`)).json()) as {
        nodes: { models: { idle_secs: number }[] }[];
      };
      return fleet.nodes[0]?.models[0]?.idle_secs ?? -1;
    };
    const before = await idle();
    await new Promise((resolve) => setTimeout(resolve, 400));
    await count(gateway);
    expect((await idle()) - before).toBeGreaterThan(0.3);
  });

  it('is also made of what no context could hold: its length is the question', async () => {
    const gateway = await start({ neurons: [await neuron([newModel('m', { status: 'loaded', context: 100 })])] });
    const { status, body } = await count(gateway, { system: 'x'.repeat(10_000) });
    expect([status, Number(body['input_tokens']) > 100]).toEqual([200, true]);
  });

  it('comes from another node when one fails', async () => {
    const nodes = [await neuron([newModel('m', { status: 'loaded' })]), await neuron([newModel('m')], 'b')];
    const gateway = await start({ neurons: nodes });
    await nodes[0]?.stop();
    expect(await count(gateway)).toMatchObject({ status: 200 });
    expect(nodes[1]?.store.loaded).toEqual([]);
  });

  it('of an unknown model, or of a picture for one that cannot see, is refused', async () => {
    const gateway = await start({ neurons: [await neuron([newModel('m')])] });
    expect(await count(gateway, { model: 'nope' })).toMatchObject({
      status: 404,
      body: { type: 'error', error: { code: 'model_not_found' } },
    });
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } };
    const messages = [{ role: 'user', content: [image] }];
    expect(await count(gateway, { messages })).toMatchObject({ body: { error: { code: 'vision_unsupported' } } });
  });
});

type Reply = (path: string, body: Json) => { readonly status: number; readonly body: unknown };

const serve = async (reply: Reply): Promise<{ readonly url: string; readonly seen: (readonly [string, Json])[] }> => {
  const seen: (readonly [string, Json])[] = [];
  const server: Server = createServer((request, response) => {
    let text = '';
    request.on('data', (piece: Buffer) => (text += piece.toString()));
    request.on('end', () => {
      const path = request.url ?? '';
      const body = (text === '' ? {} : JSON.parse(text)) as Json;
      if (request.method === 'POST') seen.push([path, body]);
      const answer = path === '/v1/models' ? { status: 200, body: { data: [{ id: 'm' }] } } : reply(path, body);
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => new Promise((resolve) => server.close(resolve)));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
};

const unknownPath = { status: 404, body: { detail: 'Not Found' } };

/** As its server answers: text only, and an empty list where there is none. */
const llamaServer: Reply = (path, body) => {
  if (path === '/apply-template') {
    const turns = body['messages'] as { role: string; content: string }[];
    return { status: 200, body: { prompt: turns.map(({ role, content }) => `<${role}>${content}`).join('') } };
  }
  if (path !== '/tokenize') return unknownPath;
  const { content } = body;
  return { status: 200, body: { tokens: typeof content === 'string' ? content.split('').map((_, i) => i) : [] } };
};

const engines: readonly (readonly [string, Reply, number])[] = [
  [
    'vLLM',
    (path) => (path === '/tokenize' ? { status: 200, body: { count: 7, max_model_len: 9, tokens: [] } } : unknownPath),
    7,
  ],
  [
    'another cortex',
    (path) => (path === '/v1/messages/count_tokens' ? { status: 200, body: { input_tokens: 8 } } : unknownPath),
    8,
  ],
  ['llama-server', llamaServer, '<user>hello'.length],
  [
    'an engine that takes only texts to tokenise, and Anthropic’s call',
    (path) =>
      path === '/v1/messages/count_tokens'
        ? { status: 200, body: { input_tokens: 3 } }
        : { status: 422, body: { detail: 'prompt: field required' } },
    3,
  ],
];

describe('a count by another engine', () => {
  it.each(engines)('is asked as %s knows it', async (_name, reply, expected) => {
    const engine = await serve(reply);
    const gateway = await start({ upstream: engine.url });
    expect(await count(gateway)).toEqual({ status: 200, body: { input_tokens: expected } });
    const unnamed = engine.seen.filter(([, body]) => body['model'] !== 'm');
    expect(unnamed).toEqual([]);
  });

  it('is refused in plain words where it knows no way, and a picture is not counted as its marker', async () => {
    const gateway = await start({ upstream: (await serve(() => unknownPath)).url });
    expect(await count(gateway)).toMatchObject({
      status: 502,
      body: { error: { code: 'upstream_error', message: "node engine can't count the tokens of this request" } },
    });
    const seeing = await start({ upstream: (await serve(llamaServer)).url });
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } };
    expect(await count(seeing, { messages: [{ role: 'user', content: [image] }] })).toMatchObject({ status: 502 });
  });
});
