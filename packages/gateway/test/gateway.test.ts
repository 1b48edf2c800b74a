/** The whole gateway, put together as it is served: real fleet, fake neurons. */
import { afterEach, describe, expect, it } from 'vitest';
import { FakeNeuron } from './fake-neuron/fake-neuron.ts';
import { newModel } from './fake-neuron/settings.ts';
import { ask } from './protocols.ts';
import { closeAll, closers, get, loaded, neuron, nodesUp, start, states, stream, until } from './whole-gateway.ts';

afterEach(closeAll);

describe('the gateway over its fleet', () => {
  it('loads a model for the request that asks for it, and tells of it while it does', async () => {
    const gateway = await start([await neuron('a', [newModel('m', { load_ms: 400 })])]);
    await until(async () => (await states(gateway))['m'] === 'available');
    const response = await stream(gateway, 'm');
    const text = await response.text();
    expect(text).toMatch(/: loading on a, \d+ %/);
    expect(text).toMatch(/x-cortex-cold-start=true/);
    expect(text).toMatch(/w7 [\s\S]*data: \[DONE\]\n\n$/);
    expect(await states(gateway)).toEqual({ m: 'loaded' });
    const warm = await stream(gateway, 'm');
    expect(warm.headers.get('x-cortex-cold-start')).toBe('false');
    await warm.text();
    expect(await (await fetch(gateway.metricsUrl)).text()).toContain('cortex_cold_starts_total{model="m",node="a"} 1');
  });

  it('makes room for another model, and serves both by turns', async () => {
    const node = await neuron('a', [newModel('m', { vram_mb: 9000 }), newModel('n', { vram_mb: 9000 })]);
    const gateway = await start([node]);
    await nodesUp(gateway, 1);
    for (const model of ['m', 'n', 'm']) expect(await (await stream(gateway, model)).text()).toContain('[DONE]');
    expect(node.store.loaded).toEqual(['m', 'n', 'm']);
    expect(node.store.unloaded).toEqual(['m', 'n']);
  });

  it('finds a model by a name that only a pattern of [aliases] knows', async () => {
    const gateway = await start([await neuron('a', loaded())], '', '[aliases]\n"claude-*" = "m"\n');
    await nodesUp(gateway, 1);
    expect(Object.keys(await states(gateway))).not.toContain('claude-next');
    const named = await get(`${gateway.url}/v1/models/claude-next`);
    expect(named).toMatchObject({ id: 'claude-next', alias_of: 'm', state: 'loaded' });
    expect(await get(`${gateway.url}/v1/models/gpt-next`)).toHaveProperty('error');
  });

  it('names no node in the headers of a stream that waits, the first one having failed', async () => {
    const [a, b] = [await neuron('a', loaded()), await neuron('b', [newModel('m', { max_in_flight: 1, hold: true })])];
    b.model('m').status = 'loaded';
    // Not before the first node has failed, even on a busy machine.
    const gateway = await start([a, b], '', '', 1);
    await nodesUp(gateway, 2);
    await fetch(`${gateway.url}/api/nodes/a/drain`, { method: 'POST' });
    const blocking = stream(gateway, 'm');
    await until(async () => b.nInFlight === 1);
    await fetch(`${gateway.url}/api/nodes/a/undrain`, { method: 'POST' });
    a.faults.push({ kind: 'reset_before_headers' });
    const response = await stream(gateway, 'm');
    expect(response.headers.get('x-cortex-node')).toBe(null);
    b.model('m').hold = false;
    expect(await response.text()).toMatch(/: x-cortex-node=b [\s\S]*\[DONE\]/);
    await (await blocking).text();
  });

  it('goes on over a node that dies and comes back', async () => {
    const [a, b] = [await neuron('a', loaded()), await neuron('b', loaded())];
    const gateway = await start([a, b]);
    await nodesUp(gateway, 2);
    await a.stop();
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => ask(gateway.url, 'chat', 'stream')));
    expect(outcomes).toEqual(outcomes.map(() => ({ kind: 'answered', complete: true })));
    await nodesUp(gateway, 1);
    await a.start();
    await nodesUp(gateway, 2);
    await b.stop();
    expect(await ask(gateway.url, 'chat', 'whole')).toEqual({ kind: 'answered', complete: true });
  });

  const staleView = { kind: 'status', status: 404, code: 'model_not_found' } as const;

  it('takes another node where one no longer has the model, and blames nobody', async () => {
    const [a, b] = [await neuron('a', loaded()), await neuron('b', loaded())];
    const gateway = await start([a, b], '[circuit]\nfailures = 1\n');
    await nodesUp(gateway, 2);
    a.faults.push(staleView, staleView);
    b.faults.push(staleView);
    for (const protocol of ['chat', 'messages', 'responses', 'chat'] as const)
      expect(await ask(gateway.url, protocol, 'stream')).toEqual({ kind: 'answered', complete: true });
    const { nodes } = (await get(`${gateway.url}/api/fleet`)) as { nodes: { circuit: string }[] };
    expect(nodes.map((node) => node.circuit)).toEqual(['closed', 'closed']);
  });

  it('loads a model again that its only node has unloaded by itself', async () => {
    const node = await neuron('a', loaded());
    const gateway = await start([node]);
    await nodesUp(gateway, 1);
    // It answers so once; by the next look it lists the model as on disk.
    node.faults.push(staleView);
    await node.store.unload({ model_id: 'm' });
    expect(await ask(gateway.url, 'messages', 'whole')).toEqual({ kind: 'answered', complete: true });
    expect(node.store.loaded).toEqual(['m']);
  });

  it('makes room again for a model whose node gave its memory to another meanwhile', async () => {
    const node = await neuron('a', [
      newModel('m', { status: 'loaded', vram_mb: 9000 }),
      newModel('n', { vram_mb: 9000 }),
    ]);
    const gateway = await start([node]);
    await nodesUp(gateway, 1);
    // As another gateway would: by the next look all is known.
    await node.store.unload({ model_id: 'm' });
    await node.store.load({ model_id: 'n' });
    node.faults.push({ kind: 'status', status: 503, code: 'insufficient_vram' });
    expect(await ask(gateway.url, 'chat', 'whole')).toEqual({ kind: 'answered', complete: true });
    expect(node.store.loaded).toEqual(['n', 'm']);
  });

  it('leaves an engine and its model in service that lacks a path', async () => {
    const engine = await neuron('vllm', loaded());
    const gateway = await start(
      [],
      `[circuit]\nfailures = 1\n[[upstreams]]\nname = "vllm"\nendpoint = "${engine.url}/v1"\n`,
    );
    await nodesUp(gateway, 1);
    engine.faults.push({ kind: 'status', status: 404, code: '', message: 'Not Found' });
    expect(await ask(gateway.url, 'completions', 'whole')).toMatchObject({ status: 502, code: 'upstream_error' });
    const route = await get(`${gateway.url}/api/route?model=m`);
    expect(route).toMatchObject({ action: 'forward', chosen: 'vllm' });
  });

  it('says that there is no such model once its only node has lost it', async () => {
    const node = await neuron('a', loaded());
    const gateway = await start([node], '', '');
    await nodesUp(gateway, 1);
    node.store.remove('m');
    expect(await ask(gateway.url, 'chat', 'whole')).toMatchObject({ status: 404, code: 'model_not_found' });
  });

  it('drains a node without losing a request', async () => {
    const [a, b] = [await neuron('a', loaded(30)), await neuron('b', loaded(30))];
    const gateway = await start([a, b]);
    await nodesUp(gateway, 2);
    const running = Array.from({ length: 6 }, () => ask(gateway.url, 'chat', 'stream'));
    await until(async () => a.nInFlight + b.nInFlight === running.length);
    // One conversation stays on one node while that costs little: that is the one to take away.
    const drained = a.nInFlight > 0 ? a : b;
    await fetch(`${gateway.url}/api/nodes/${drained.name}/drain`, { method: 'POST' });
    const nSeen = drained.seen.length;
    const later = Array.from({ length: 4 }, () => ask(gateway.url, 'chat', 'stream'));
    for (const outcome of await Promise.all([...running, ...later]))
      expect(outcome).toEqual({ kind: 'answered', complete: true });
    expect(drained.seen.length).toBe(nSeen);
  });

  it('takes another engine for a node, with its key and its own names', async () => {
    const engine = await new FakeNeuron({
      name: 'vllm',
      token: 'engine-key',
      models: [newModel('org/m', { status: 'loaded' })],
    }).start();
    closers.push(() => engine.stop());
    const upstream = `[[upstreams]]\nname = "vllm"\nendpoint = "${engine.url}"\napi_key = "engine-key"\n`;
    const gateway = await start([], upstream, '[aliases]\n"gpt-*" = "org/m"\n');
    await nodesUp(gateway, 1);
    const response = await stream(gateway, 'gpt-9');
    expect(response.headers.get('x-cortex-node')).toBe('vllm');
    expect(await response.text()).toContain('[DONE]');
    expect(engine.seen.at(-1)).toMatchObject({ headers: { authorization: 'Bearer engine-key' } });
    expect(JSON.parse(engine.seen.at(-1)?.body ?? '')).toMatchObject({ model: 'org/m' });
  });

  it('gives another engine no more requests at once than it is said to take', async () => {
    const engine = await neuron('vllm', loaded(20));
    const upstream = `[[upstreams]]\nname = "vllm"\nendpoint = "${engine.url}"\nmax_in_flight = 2\n`;
    const gateway = await start([], upstream);
    await nodesUp(gateway, 1);
    let most = 0;
    const watch = setInterval(() => (most = Math.max(most, engine.nInFlight)), 2);
    const outcomes = await Promise.all(Array.from({ length: 6 }, () => ask(gateway.url, 'chat', 'stream')));
    clearInterval(watch);
    expect(outcomes).toEqual(outcomes.map(() => ({ kind: 'answered', complete: true })));
    expect(most).toBe(2);
  });

  it.each([
    [400, 'System message must be at the beginning.'],
    [500, 'Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/...'],
  ])('folds late system turns for an engine whose template refuses them: %i %s', async (status, message) => {
    const engine = await neuron('vllm', loaded());
    const gateway = await start([], `[[upstreams]]\nname = "vllm"\nendpoint = "${engine.url}"\n`);
    await nodesUp(gateway, 1);
    engine.faults.push({ kind: 'status', status, code: '', message });
    const turns = [
      { role: 'user', content: 'hello' },
      { role: 'system', content: 'Now in plan mode.' },
    ];
    const post = async (path: string, body: object): Promise<Response> =>
      fetch(gateway.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'm', max_tokens: 50, messages: turns, ...body }),
      });
    const response = await post('/v1/messages', { system: 'S', stream: true });
    expect(await response.text()).toContain('message_stop');
    const asked = engine.seen.map(({ body }) => (JSON.parse(body) as { messages: object[] }).messages);
    expect(asked).toEqual([
      [{ role: 'system', content: 'S' }, ...turns],
      [
        { role: 'system', content: 'S' },
        { role: 'user', content: 'hello\n\nNow in plan mode.' },
      ],
    ]);
    // A client that speaks chat is told what the engine said.
    engine.faults.push({ kind: 'status', status, code: '', message });
    expect((await post('/v1/chat/completions', {})).status).toBe(status === 400 ? 400 : 502);
  });

  it('loads, unloads and explains for an operator', async () => {
    const node = await neuron('a', [newModel('m')]);
    const gateway = await start([node]);
    await nodesUp(gateway, 1);
    const post = async (path: string, body: object): Promise<unknown> =>
      (
        await fetch(gateway.url + path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
      ).json();
    expect(await get(`${gateway.url}/api/route?model=m`)).toMatchObject({ action: 'load', chosen: 'a' });
    expect(await post('/api/models/load', { model_id: 'm' })).toEqual({ status: 'loaded', model_id: 'm', node: 'a' });
    expect(await get(`${gateway.url}/api/route?model=m`)).toMatchObject({ action: 'forward', chosen: 'a' });
    expect(await post('/api/models/unload', { model_id: 'm' })).toMatchObject({ nodes: ['a'] });
    expect(await post('/api/models/load', { model_id: 'nope' })).toMatchObject({ error: { code: 'model_not_found' } });
    expect(await post('/api/models/load', { model_id: 'm', node: 'z' })).toMatchObject({
      error: { code: 'not_found' },
    });
  });
});
