/** The live fleet over HTTP, against fake neurons: real sockets, real clocks, short intervals. */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FakeNeuron } from '../../test/fake-neuron/fake-neuron.ts';
import { newModel, type FakeSettings } from '../../test/fake-neuron/settings.ts';
import { simConfig } from '../../test/fleet/simulated-fleet.ts';
import type { RouteRequest, WaitProgress } from './contract.ts';
import { LiveFleet } from './fleet.ts';
import type { FleetConfig, NodeConfig } from './fleet-config.ts';
import type { FleetNotice } from './notices.ts';

const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const fake = async (settings: FakeSettings): Promise<FakeNeuron> => {
  const neuron = await new FakeNeuron(settings).start();
  cleanups.push(() => neuron.stop());
  return neuron;
};

const serve = async (listener: RequestListener): Promise<string> => {
  const server: Server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

const fast: Partial<FleetConfig> = { poll: { intervalMs: 60, timeoutMs: 5000, backOffMaxMs: 100 }, tickMs: 20 };

const live = (nodes: readonly NodeConfig[], more: Parameters<typeof simConfig>[1] = {}) => {
  const notices: FleetNotice[] = [];
  const config = { ...simConfig([], { ...fast, ...more }), nodes };
  const fleet = new LiveFleet(config, { onNotice: (notice) => notices.push(notice) });
  cleanups.push(() => fleet.close());
  fleet.start();
  return { fleet, notices };
};

const neuronNode = (name: string, endpoint: string, token?: string): NodeConfig => ({
  name,
  endpoint,
  kind: 'neuron',
  slots: 256,
  ...(token === undefined ? {} : { token }),
});

const ask = (model: string, more: Partial<RouteRequest> = {}): RouteRequest => ({
  model,
  needsVision: false,
  tokensMin: 1,
  clientId: 'x',
  priority: 0,
  excludedNodes: new Set(),
  ...more,
});

const stays = new AbortController().signal;
const reach = (fleet: LiveFleet, name: string): string | undefined =>
  fleet.snapshot().nodes.find((node) => node.name === name)?.reach;

describe('a lease', () => {
  it('may be asked for before the first poll, and is given back once', async () => {
    const neuron = await fake({ models: [newModel('m', { status: 'loaded' })] });
    const { fleet } = live([neuronNode('n', neuron.url)]);
    const lease = await fleet.acquire(ask('m'), stays);
    expect(lease).toMatchObject({ coldStart: false, target: { node: 'n', endpoint: neuron.url, modelId: 'm' } });
    const second = await fleet.acquire(ask('m'), stays);
    expect(fleet.snapshot().nodes[0]?.in_flight).toBe(2);
    lease.release({ kind: 'client' });
    lease.release({ kind: 'client' });
    expect(fleet.snapshot().nodes[0]?.in_flight).toBe(1);
    second.release({ kind: 'client' });
  });

  it('on a cold model waits for its load and hears how it goes', async () => {
    const neuron = await fake({ models: [newModel('m', { load_ms: 600 })] });
    const { fleet, notices } = live([neuronNode('n', neuron.url)]);
    const heard: WaitProgress[] = [];
    const lease = await fleet.acquire(ask('m'), stays, (progress) => heard.push(progress));
    expect(lease.coldStart).toBe(true);
    expect(lease.loadMs).toBeGreaterThan(150);
    expect(neuron.store.loaded).toEqual(['m']);
    const fractions = heard.flatMap((progress) => (progress.kind === 'loading' ? [progress.fraction] : []));
    expect(fractions.some((fraction) => fraction > 0.2 && fraction < 1)).toBe(true);
    expect(notices.map((notice) => notice.kind)).toEqual(['node_up', 'load_started', 'load_finished']);
    lease.release({ kind: 'client' });
  });

  it('in the place of another model waits until its memory is seen free', async () => {
    const neuron = await fake({
      devices: [{ vram_total_mb: 1000 }],
      models: [
        newModel('old', { status: 'loaded', vram_mb: 800, free_lag_ms: 150 }),
        newModel('new', { vram_mb: 700 }),
      ],
    });
    const { fleet, notices } = live([neuronNode('n', neuron.url)], { eviction: { lingerMs: 0 } });
    const lease = await fleet.acquire(ask('new'), stays);
    expect(neuron.store.unloaded).toEqual(['old']);
    expect(notices.filter((notice) => notice.kind === 'load_failed')).toEqual([]);
    lease.release({ kind: 'client' });
  });

  it('is not waited for by a client that left', async () => {
    const neuron = await fake({ models: [newModel('m', { load_ms: 300 })] });
    const { fleet } = live([neuronNode('n', neuron.url)]);
    const client = new AbortController();
    const waits = fleet.acquire(ask('m'), client.signal);
    setTimeout(() => client.abort(new Error('went home')), 50);
    await expect(waits).rejects.toThrow('went home');
    expect(fleet.snapshot().queue.waiting).toBe(0);
    await expect(fleet.acquire(ask('m'), client.signal)).rejects.toThrow('went home');
  });

  it('is refused to those who wait when the fleet is closed', async () => {
    const neuron = await fake({ models: [newModel('m', { load_ms: 5000 })] });
    const { fleet } = live([neuronNode('n', neuron.url)]);
    const waits = fleet.acquire(ask('m'), stays);
    await vi.waitFor(() => expect(fleet.snapshot().plans).toHaveLength(1));
    await Promise.all([expect(waits).rejects.toMatchObject({ code: 'no_healthy_node' }), fleet.close()]);
  });

  it('goes to a caller that can still be told: one whose ear throws has left', async () => {
    const neuron = await fake({ models: [newModel('m', { load_ms: 300 })] });
    const { fleet } = live([neuronNode('n', neuron.url)]);
    const deaf = fleet.acquire(ask('m'), stays, () => {
      throw new Error('socket is gone');
    });
    await expect(deaf).rejects.toThrow('socket is gone');
    expect(fleet.snapshot().queue.waiting).toBe(0);
  });
});

describe('nodes', () => {
  it('that are killed leave routing, and come back by themselves when they are', async () => {
    const neuron = await fake({ models: [newModel('m', { status: 'loaded' })] });
    const { fleet, notices } = live([neuronNode('n', neuron.url)]);
    await vi.waitFor(() => expect(reach(fleet, 'n')).toBe('up'));
    await neuron.stop();
    await vi.waitFor(() => expect(reach(fleet, 'n')).toBe('down'), { timeout: 2000, interval: 5 });
    await neuron.start();
    await vi.waitFor(() => expect(reach(fleet, 'n')).toBe('up'), { timeout: 2000 });
    expect(notices.map((notice) => notice.kind)).toEqual(['node_up', 'node_down', 'node_up']);
  });

  it('are known by their token, and say so when it is wrong', async () => {
    const neuron = await fake({ token: 'secret', models: [newModel('m', { status: 'loaded' })] });
    const { fleet } = live([neuronNode('right', neuron.url, 'secret'), neuronNode('wrong', neuron.url, 'other')]);
    const lease = await fleet.acquire(ask('m'), stays);
    expect(lease.target).toMatchObject({ node: 'right', token: 'secret' });
    await vi.waitFor(() => expect(reach(fleet, 'wrong')).toBe('down'));
    expect(fleet.snapshot().nodes[1]?.down_reason).toBe('wrong token');
    lease.release({ kind: 'client' });
  });

  it('are only ever looked at by polls and listings', async () => {
    const neuron = await fake({ models: [newModel('m')] });
    const { fleet } = live([neuronNode('n', neuron.url)]);
    await vi.waitFor(() => expect(neuron.nPolls).toBeGreaterThan(12), { timeout: 5000 });
    expect(fleet.models().map((model) => `${model.id} ${model.state}`)).toEqual(['m available']);
    fleet.explain(ask('m'));
    expect(neuron.seen).toEqual([]);
    expect(neuron.store.loaded).toEqual([]);
  });

  it('of other engines are members by what they list, without a lifecycle', async () => {
    const list = {
      data: [
        { id: 'theirs', max_model_len: 4096, limit: 'odd' },
        { id: 'seeing', capabilities: ['text', 'vision'] },
        { id: 'cold', state: 'loading', progress: { fraction: 0.5, phase: 'weights', eta_secs: 3 } },
        { id: 'odd', state: 'ready', progress: 'soon' },
      ],
    };
    const url = await serve((request, response) => {
      const known = request.url === '/prefix/v1/models' && request.headers.authorization === 'Bearer sk-1';
      response.writeHead(known ? 200 : 404).end(JSON.stringify(list));
    });
    const { fleet } = live([{ name: 'vllm', endpoint: `${url}/prefix`, kind: 'upstream', token: 'sk-1', slots: 256 }]);
    const lease = await fleet.acquire(ask('theirs'), stays);
    expect(lease.target).toMatchObject({ kind: 'upstream', modelId: 'theirs', token: 'sk-1' });
    expect(fleet.models()).toMatchObject([
      { id: 'odd', state: 'loaded' },
      { id: 'seeing', state: 'loaded', capabilities: ['text', 'vision'] },
      { id: 'theirs', state: 'loaded', limit: { context: 4096 } },
      { id: 'cold', state: 'loading', progress: { fraction: 0.5, eta_secs: 3 } },
    ]);
    (await fleet.acquire(ask('cold'), stays)).release({ kind: 'client' });
    await expect(fleet.load('cold', {})).rejects.toThrow(/its own gateway loads it when it is asked for/);
    await expect(fleet.acquire(ask('theirs', { tokensMin: 5000 }), stays)).rejects.toMatchObject({
      code: 'context_length_exceeded',
    });
    await expect(fleet.unload('theirs', {})).rejects.toThrow(/is only on vllm, which takes no orders/);
    lease.release({ kind: 'client' });
  });

  it.each([
    ['not JSON', '<html>', /expected|not the answer/i],
    ['of another shape', '{"models":1}', /not the answer it should be/],
    ['without end', `[${'1,'.repeat(9 * 1024 * 1024)}1]`, /more than 16777216 bytes/],
  ])('that answer with something %s are down, and the others are not disturbed', async (_, body, reason) => {
    const url = await serve((__, response) => response.end(body));
    const neuron = await fake({ models: [newModel('m', { status: 'loaded' })] });
    const { fleet } = live([neuronNode('odd', url), neuronNode('sane', neuron.url)], {
      poll: { intervalMs: 60, timeoutMs: 3000, backOffMaxMs: 100 },
    });
    await vi.waitFor(() => expect(reach(fleet, 'odd')).toBe('down'), { timeout: 3000 });
    expect(fleet.snapshot().nodes[0]?.down_reason).toMatch(reason);
    await vi.waitFor(() => expect(reach(fleet, 'sane')).toBe('up'), { timeout: 3000 });
  });

  it('that never answer are down after the timeout', async () => {
    const url = await serve(() => undefined);
    const poll = { intervalMs: 60, timeoutMs: 500, backOffMaxMs: 100 };
    const { fleet } = live([neuronNode('mute', url)], { poll });
    await vi.waitFor(() => expect(reach(fleet, 'mute')).toBe('down'), { timeout: 4000 });
    expect(fleet.snapshot().nodes[0]?.down_reason).toContain('no answer in time');
  });
});

describe('an operator', () => {
  it('loads, unloads, drains and sees what came of it', async () => {
    const neuron = await fake({ models: [newModel('m', { vram_mb: 500 })] });
    const { fleet } = live([neuronNode('n', neuron.url)]);
    await expect(fleet.load('m', {})).resolves.toEqual({ node: 'n' });
    expect(fleet.snapshot().nodes[0]?.models[0]).toMatchObject({
      id: 'm',
      status: 'loaded',
      vram_used_mb: 500,
      in_flight: 0,
      reason: null,
    });
    const lease = await fleet.acquire(ask('m'), stays);
    await expect(fleet.unload('m', {})).rejects.toMatchObject({ code: 'model_busy' });
    lease.release({ kind: 'client' });
    await expect(fleet.unload('m', {})).resolves.toEqual({ nodes: ['n'] });
    fleet.drain('n');
    expect(fleet.snapshot().nodes[0]?.draining).toBe(true);
    await expect(fleet.acquire(ask('m'), stays)).rejects.toMatchObject({ code: 'no_healthy_node' });
    fleet.undrain('n');
    expect(() => fleet.drain('nowhere')).toThrow("no node 'nowhere'");
    expect(JSON.parse(JSON.stringify(fleet.snapshot()))).toEqual(fleet.snapshot());
  });

  it('is told what the node said when a load fails', async () => {
    const neuron = await fake({ models: [newModel('m', { load_error: 'tensor blk.0 is missing' })] });
    const { fleet } = live([neuronNode('n', neuron.url)]);
    await expect(fleet.load('m', {})).rejects.toMatchObject({
      code: 'model_load_failed',
      message: expect.stringContaining('tensor blk.0 is missing'),
    });
  });
});
