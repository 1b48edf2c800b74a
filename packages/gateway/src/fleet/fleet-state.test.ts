import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import type { RouteRequest } from './contract.ts';
import type { FleetEvent } from './events.ts';
import { FleetState } from './fleet-state.ts';
import { takeSnapshot } from './snapshot.ts';
import { profiles, simConfig, SimulatedFleet, type SimNodeSetup } from '../../test/fleet/simulated-fleet.ts';

const a = { id: 'a', mb: 10_000 };
const b = { id: 'b', mb: 10_000 };
const c = { id: 'c', mb: 4000 };

const one = (loaded: readonly string[] = []): SimNodeSetup => ({
  name: 'one',
  deviceMb: [16_000],
  models: [a, b, c],
  loaded,
});
const two: SimNodeSetup = { name: 'two', deviceMb: [16_000], models: [a, b, c] };

const settled = (setups: readonly SimNodeSetup[], config = simConfig(setups)): SimulatedFleet => {
  const fleet = new SimulatedFleet(setups, config);
  fleet.run(3000);
  return fleet;
};

const failure = (code: 'upstream_error' | 'rate_limit_exceeded' | 'model_not_found'): CortexError =>
  new CortexError(code, 'said the node');

/** `a` serves one request and is being drained for `b`. */
const drained = (): { fleet: SimulatedFleet; running: number; next: number } => {
  const fleet = settled([one(['a'])]);
  const running = fleet.request('a');
  const next = fleet.request('b');
  fleet.run(20_000);
  expect(fleet.state.data.plans.get('b')?.phase).toBe('draining');
  return { fleet, running, next };
};

const reportedModels = (status: 'loaded' | 'available') => [
  {
    id: 'a',
    harness: 'ggml',
    status,
    devices: status === 'loaded' ? [0] : [],
    vram_used_mb: status === 'loaded' ? 10_000 : 0,
    vram_needed_mb: 10_000,
    capabilities: ['text'],
    servable: { ok: true },
  },
  {
    id: 'b',
    harness: 'ggml',
    status: 'available' as const,
    devices: [],
    vram_used_mb: 0,
    vram_needed_mb: 10_000,
    capabilities: ['text'],
    servable: { ok: true },
  },
];

const kinds = (effects: readonly { kind: string }[]): readonly string[] => effects.map((effect) => effect.kind);

const duel = (seconds: number): { fleet: SimulatedFleet; worstMs: number; served: number } => {
  const fleet = settled([one()]);
  const started = new Map<number, number>();
  let worstMs = 0;
  let served = 0;
  for (let step = 0; step < seconds * 2; step += 1) {
    for (const model of ['a', 'b']) started.set(fleet.request(model, { clientId: model }), fleet.nowMs);
    fleet.run(500);
    for (const ticket of fleet.held()) {
      worstMs = Math.max(worstMs, fleet.nowMs - started.get(ticket)!);
      served += 1;
      fleet.release(ticket);
    }
  }
  return { fleet, worstMs, served };
};

const fullQueue = (): SimulatedFleet => {
  const fleet = settled([one(['a'])], simConfig([one()], { queue: { requestsMax: 3 } }));
  for (let i = 0; i < 4; i += 1) fleet.request('a', { clientId: 'greedy' });
  for (let i = 0; i < 3; i += 1) fleet.request('a', { clientId: 'greedy' });
  return fleet;
};

const requestFor = (model: string): RouteRequest => ({
  model,
  needsVision: false,
  tokensMin: 1,
  clientId: 'x',
  priority: 0,
  excludedNodes: new Set(),
});

const polled = (
  startedMs: number,
  status: 'loaded' | 'available',
  freeMb: number,
): Extract<FleetEvent, { kind: 'polled' }> => ({
  kind: 'polled',
  node: 'one',
  result: {
    startedMs,
    discovery: {
      hostname: 'one',
      os: 'linux',
      kernel: '6',
      harnesses: ['ggml'],
      devices: [{ index: 0, name: 'sim', backend: 'cuda', vram_total_mb: 16_000 }],
    },
    models: reportedModels(status),
    health: {
      status: 'ok',
      uptime_secs: 100 + startedMs / 1000,
      devices: [{ index: 0, vram_used_mb: 16_000 - freeMb, vram_free_mb: freeMb, poisoned: false }],
      activation: { state: 'idle', loaded: [], failed: [] },
      models: [],
    },
  },
});

/** `b` was asked for at 2000, and `a` unloaded for it at 3000. */
const evicted = (): FleetState => {
  const state = new FleetState(simConfig([one()]), () => 0);
  state.handle(polled(0, 'loaded', 6000), 10);
  const effects = state.handle({ kind: 'acquire', ticket: 1, request: requestFor('b') }, 2000);
  const unload = effects.find((effect) => effect.kind === 'start_unload');
  if (unload?.kind !== 'start_unload') throw new Error('no unload');
  const after = state.handle({ kind: 'unloaded', operation: unload.operation }, 3000);
  expect(after.map((effect) => effect.kind)).toEqual(['notice', 'poll', 'poll']);
  return state;
};

describe('a request for a loaded model', () => {
  it('is granted at once, warm', () => {
    const fleet = settled([one(['a'])]);
    const ticket = fleet.request('a');
    expect(fleet.endings.get(ticket)).toMatchObject({
      kind: 'grant',
      grant: { coldStart: false, loadMs: 0, queueMs: 0, target: { node: 'one', modelId: 'a' } },
    });
  });

  it('waits for a slot when all are taken, and gets the first one freed', () => {
    const fleet = settled([one(['a'])]);
    const running = [1, 2, 3, 4].map(() => fleet.request('a'));
    const ticket = fleet.request('a');
    expect(fleet.ending(ticket)).toBe('waiting');
    expect(fleet.progress.get(ticket)).toEqual([{ kind: 'queued', position: 1 }]);
    fleet.run(500);
    fleet.release(running.at(0)!);
    expect(fleet.endings.get(ticket)).toMatchObject({ grant: { queueMs: 500, coldStart: false } });
  });

  it('is refused as overloaded when no slot gets free before the deadline', () => {
    const fleet = settled([one(['a'])], simConfig([one()], { queue: { timeoutMs: 5000 } }));
    for (let i = 0; i < 4; i += 1) fleet.request('a');
    const ticket = fleet.request('a');
    fleet.run(5300);
    expect(fleet.ending(ticket)).toBe('overloaded');
  });
});

/** What the load asks of a node that says this of the model. */
const requestWith = (facts: object): unknown => {
  const state = new FleetState(simConfig([one()]), () => 0);
  const event = polled(1000, 'available', 16_000);
  const models = event.result.models.map((model) => ({ ...model, ...facts }));
  state.handle({ ...event, result: { ...event.result, models } }, 1100);
  const effects = state.handle({ kind: 'acquire', ticket: 1, request: requestFor('a') }, 1200);
  const load = effects.find((effect) => effect.kind === 'start_load');
  return load?.kind === 'start_load' ? load.request : null;
};

describe('a request for a model that no node has loaded', () => {
  it("asks for as many devices as the node's operator has it over", () => {
    const state = new FleetState(simConfig([one()]), () => 0);
    const event = polled(1000, 'available', 16_000);
    const [device] = event.result.health!.devices;
    const second = { index: 1, name: 'sim', backend: 'cuda', vram_total_mb: 16_000 };
    const discovery = { ...event.result.discovery!, devices: [...event.result.discovery!.devices, second] };
    const health = { ...event.result.health!, devices: [device!, { ...device!, index: 1 }] };
    const models = event.result.models.map((model) => ({ ...model, placement: { tensor_parallel: 2 } }));
    state.handle({ ...event, result: { ...event.result, discovery, health, models } }, 1100);
    const effects = state.handle({ kind: 'acquire', ticket: 1, request: requestFor('a') }, 1200);
    expect(effects.find((effect) => effect.kind === 'start_load')).toMatchObject({
      request: { model_id: 'a', devices: [0, 1], tensor_parallel: 2 },
    });
  });

  it('asks for layers over devices and host where the node has it so, and otherwise for none', () => {
    const layered = requestWith({ vram_needed_mb: 30_000, layer_offload: { host_mb: 60_000 } });
    expect(layered).toMatchObject({ model_id: 'a', layer_offload: true });
    expect(layered).not.toHaveProperty('devices');
    expect(requestWith({})).toMatchObject({ model_id: 'a', layer_offload: false, devices: [0] });
  });

  it('lets a node that has yet to get the files spread the layers, where models.toml allows it', () => {
    const tables = profiles({ id: 'a', vram_mb: 1000, layer_offload: true });
    const state = new FleetState(simConfig([one()], { profiles: tables }), () => 0);
    const event = polled(1000, 'available', 16_000);
    state.handle({ ...event, result: { ...event.result, models: [] } }, 1100);
    const effects = state.handle({ kind: 'acquire', ticket: 1, request: requestFor('a') }, 1200);
    expect(effects.find((effect) => effect.kind === 'start_load')).toMatchObject({
      request: { model_id: 'a', devices: [0], layer_offload: true },
    });
  });

  it('waits for one load however many ask, and all are served by it', () => {
    const fleet = settled([one(), two]);
    const tickets = [1, 2, 3].map(() => fleet.request('a'));
    fleet.run(8000);
    expect(fleet.loads).toHaveLength(1);
    expect(tickets.map((ticket) => fleet.ending(ticket))).toEqual(
      tickets.map(() => `grant ${fleet.loads.at(0)!.node}`),
    );
    const ending = fleet.endings.get(tickets.at(0)!);
    expect(ending).toMatchObject({ grant: { coldStart: true, queueMs: 0 } });
    expect(ending?.kind === 'grant' && ending.grant.loadMs).toBeGreaterThanOrEqual(5000);
  });

  it('joins a load that somebody else began', () => {
    const fleet = settled([one(), two]);
    Object.assign(fleet.node('two').copies.get('a')!, { status: 'loading', devices: [0] });
    fleet.run(3000);
    const ticket = fleet.request('a');
    fleet.run(1000);
    Object.assign(fleet.node('two').copies.get('a')!, { status: 'loaded' });
    fleet.run(3000);
    expect(fleet.loads).toEqual([]);
    expect(fleet.ending(ticket)).toBe('grant two');
  });

  it('hears of the progress, with an estimate from earlier loads', () => {
    const fleet = settled([one()]);
    const first = fleet.request('a');
    fleet.run(7000);
    fleet.release(first);
    fleet.unload('a');
    fleet.run(1000);
    const second = fleet.request('a');
    fleet.run(3000);
    const told = fleet.progress.get(second)!.at(-1)!;
    expect(told).toMatchObject({ kind: 'loading', node: 'one' });
    expect(told.kind === 'loading' && told.fraction).toBeGreaterThan(0.4);
    expect(told.kind === 'loading' && told.etaSecs).toBeLessThan(3);
  });

  it('has its progress told to the log every few seconds', () => {
    const slow = { ...a, loadMs: 14_000 };
    const fleet = settled([{ ...one(), models: [slow] }]);
    fleet.request('a');
    fleet.request('a');
    fleet.run(20_000);
    const told = fleet.notices.filter(({ kind }) => kind.startsWith('load_'));
    expect(told.map(({ kind }) => kind)).toEqual(['load_started', 'load_progress', 'load_progress', 'load_finished']);
    expect(told[1]).toMatchObject({ node: 'one', model: 'a', phase: 'loading', waiting: 2 });
  });

  it('is placed on another node when its load fails, and the failure is remembered', () => {
    const fleet = settled([{ ...one(), deviceMb: [24_000] }, two]);
    fleet.node('one').failLoads = new CortexError('model_load_failed', 'bad tensor');
    const ticket = fleet.request('a');
    fleet.run(8000);
    expect(fleet.loads.map((load) => load.node)).toEqual(['one', 'two']);
    expect(fleet.ending(ticket)).toBe('grant two');
  });

  it('is refused with what the load failed with, also later, until the cool-down is over', () => {
    const fleet = settled([one()]);
    fleet.node('one').failLoads = new CortexError('model_load_failed', 'bad tensor');
    const first = fleet.request('a');
    fleet.run(1000);
    expect(fleet.ending(first)).toBe('model_load_failed');
    const second = fleet.request('a');
    expect(fleet.ending(second)).toBe('model_load_failed');
    expect(fleet.loads).toHaveLength(1);
    fleet.node('one').failLoads = null;
    fleet.run(16_000);
    const third = fleet.request('a');
    fleet.run(8000);
    expect(fleet.ending(third)).toBe('grant one');
  });

  it('is refused as model_loading when the load outlasts the deadline, and the load goes on', () => {
    const fleet = settled([one()], simConfig([one()], { queue: { timeoutMs: 2000 } }));
    const ticket = fleet.request('a');
    fleet.run(2500);
    expect(fleet.ending(ticket)).toBe('model_loading');
    fleet.run(6000);
    expect(fleet.loadedOn('one')).toEqual(['a']);
  });

  it('is placed again when the node dies while loading', () => {
    const fleet = settled([{ ...one(), deviceMb: [24_000] }, two]);
    const ticket = fleet.request('a');
    fleet.run(1000);
    fleet.kill('one');
    fleet.run(10_000);
    expect(fleet.ending(ticket)).toBe('grant two');
  });

  it('is not loaded elsewhere because the network blinked', () => {
    const fleet = settled([{ ...one(), deviceMb: [24_000] }, two]);
    const ticket = fleet.request('a');
    fleet.run(1000);
    fleet.handle({ kind: 'poll_failed', node: 'one', reason: 'timeout', startedMs: fleet.nowMs, unanswered: true });
    fleet.run(10_000);
    expect(fleet.ending(ticket)).toBe('grant one');
    expect(fleet.loads).toHaveLength(1);
  });

  it('keeps its memory when it reached a restarted node before the poll that shows the restart', () => {
    const fleet = settled([one()]);
    fleet.kill('one');
    fleet.revive('one');
    const first = fleet.request('a');
    const state = fleet.state.data.nodes.get('one')!;
    expect(state.reservations).toHaveLength(1);
    fleet.handle({ kind: 'polled', node: 'one', result: fleet.look('one') });
    expect(state.reservations).toHaveLength(1);
    fleet.run(8000);
    expect(fleet.ending(first)).toBe('grant one');
    expect(fleet.loads).toHaveLength(1);
  });

  it('is loaded again on a node that was restarted', () => {
    const fleet = settled([one(['a'])]);
    fleet.kill('one');
    fleet.run(100);
    fleet.revive('one');
    fleet.run(3000);
    const ticket = fleet.request('a');
    fleet.run(8000);
    expect(fleet.loads).toHaveLength(1);
    expect(fleet.ending(ticket)).toBe('grant one');
    expect(fleet.notices).toContainEqual({ kind: 'node_up', node: 'one', restarted: true });
  });

  it('may go to any node again when its client has left', () => {
    const fleet = settled([one()]);
    const ticket = fleet.request('a');
    fleet.cancel(ticket);
    fleet.run(8000);
    expect(fleet.ending(ticket)).toBe('cancelled');
    expect(fleet.loadedOn('one')).toEqual(['a']);
  });
});

describe('making room', () => {
  it('evicts an idle model, waits until the memory is free, then loads', () => {
    const fleet = settled([one(['a'])]);
    const ticket = fleet.request('b');
    fleet.run(8000);
    expect(fleet.unloads).toEqual([{ node: 'one', model: 'a', mode: 'refuse' }]);
    expect(fleet.ending(ticket)).toBe('grant one');
    expect(fleet.notices).toContainEqual({ kind: 'evicted', node: 'one', model: 'a', for: 'b' });
  });

  it('does not begin the load while the memory is still held after the unload', () => {
    const fleet = settled([one(['a'])]);
    const node = fleet.node('one');
    const copy = node.copies.get('a')!;
    fleet.request('b');
    // Something keeps the memory for a while although the node says the model is gone.
    const hog = { ...copy, model: { id: 'hog', mb: 10_000 }, status: 'unloading' as const, devices: [0] };
    node.copies.set('hog', hog);
    node.copies.delete('a');
    fleet.run(2000);
    expect(fleet.loads).toEqual([]);
    node.copies.delete('hog');
    fleet.run(1000);
    expect(fleet.loads).toHaveLength(1);
  });

  it('never takes the place of a leased model while requests keep within their turn', () => {
    const fleet = settled([one(['a'])]);
    const running = fleet.request('a');
    const ticket = fleet.request('b');
    fleet.run(10_000);
    expect(fleet.unloads).toEqual([]);
    fleet.release(running);
    fleet.run(8000);
    expect(fleet.ending(ticket)).toBe('grant one');
  });

  it('asks the node to let requests of another gateway end', () => {
    const fleet = settled([one(['a'])]);
    fleet.setForeign('one', 'a', 1);
    fleet.run(3000);
    const ticket = fleet.request('b');
    fleet.run(12_000);
    expect(fleet.unloads).toEqual([]);
    fleet.run(10_000);
    expect(fleet.unloads).toEqual([{ node: 'one', model: 'a', mode: 'wait' }]);
    expect(fleet.loadedOn('one')).toEqual(['a']);
    fleet.setForeign('one', 'a', 0);
    fleet.run(8000);
    expect(fleet.ending(ticket)).toBe('grant one');
  });

  it('tries again later when the node answers that the model is busy', () => {
    const fleet = settled([one(['a'])]);
    fleet.node('one').copies.get('a')!.foreign = 1;
    const ticket = fleet.request('b');
    fleet.run(100);
    expect(fleet.notices.some((notice) => notice.kind === 'unload_failed')).toBe(true);
    expect(fleet.loadedOn('one')).toEqual(['a']);
    fleet.setForeign('one', 'a', 0);
    fleet.run(12_000);
    expect(fleet.ending(ticket)).toBe('grant one');
  });

  it('goes on while the node says that the memory it has made is still too little', () => {
    const small = ['x', 'y', 'z'].map((id) => ({ id, mb: 4000 }));
    const setup: SimNodeSetup = {
      name: 'one',
      deviceMb: [12_000],
      models: [...small, { id: 'big', mb: 11_000, claimsMb: 1000 }],
      loaded: ['x', 'y', 'z'],
    };
    const fleet = settled([setup]);
    const ticket = fleet.request('big');
    fleet.run(9000);
    expect(fleet.ending(ticket)).toBe('grant one');
    expect(fleet.loadedOn('one')).toEqual(['big']);
  });

  it('gives up with the words of the node where eviction cannot bring more, and does not call the model unknown', () => {
    const models = [
      { id: 'claims-nothing', mb: 0 },
      { id: 'big', mb: 20_000, claimsMb: 1000 },
    ];
    const fleet = settled([{ name: 'one', deviceMb: [16_000], models, loaded: ['claims-nothing'] }]);
    const ticket = fleet.request('big');
    fleet.run(3000);
    expect(fleet.endings.get(ticket)).toMatchObject({
      error: { code: 'insufficient_vram', message: expect.stringContaining('out of memory') },
    });
    expect(fleet.unloads).toEqual([]);
  });

  it('spares the others when a load was refused only because another gateway was quicker', () => {
    const models = [a, { ...b, claimsMb: b.mb }, c];
    const fleet = settled([{ name: 'one', deviceMb: [16_000], models, loaded: ['c'] }]);
    Object.assign(fleet.node('one').copies.get('a')!, { status: 'loaded', devices: [0], mb: [a.mb], foreign: 1 });
    const ticket = fleet.request('b');
    fleet.run(3000);
    expect(fleet.notices.some((notice) => notice.kind === 'load_failed')).toBe(true);
    fleet.setForeign('one', 'a', 0);
    fleet.run(12_000);
    expect(fleet.ending(ticket)).toBe('grant one');
    expect(fleet.loadedOn('one')).toEqual(['b', 'c']);
  });

  it('waits for its turn when another gateway was quicker with memory that was free', () => {
    const models = [a, { ...b, claimsMb: b.mb }];
    const fleet = settled([{ name: 'one', deviceMb: [16_000], models }]);
    Object.assign(fleet.node('one').copies.get('a')!, { status: 'loading', devices: [0], mb: [a.mb] });
    const ticket = fleet.request('b');
    fleet.run(3000);
    expect([fleet.ending(ticket), fleet.loads.length]).toEqual(['waiting', 1]);
    expect(fleet.notices.map(({ kind }) => kind)).toContain('load_failed');
    Object.assign(fleet.node('one').copies.get('a')!, { status: 'loaded' });
    fleet.run(12_000);
    expect(fleet.ending(ticket)).toBe('grant one');
  });

  it('refuses when only pinned models or those of a higher class hold the memory', () => {
    const pinned = profiles({ id: 'a', pinned_on: ['one'] }, { id: 'b' });
    const fleet = settled([one(['a'])], simConfig([one()], { profiles: pinned }));
    const ticket = fleet.request('b');
    expect(fleet.ending(ticket)).toBe('insufficient_vram');
    expect(fleet.endings.get(ticket)).toMatchObject({ error: { message: expect.stringContaining('a is pinned') } });
  });

  it('keeps what an operator pinned, and lets it go again', () => {
    const fleet = settled([one(['a'])], simConfig([one()], { profiles: profiles({ id: 'b' }) }));
    fleet.handle({ kind: 'pin', node: 'one', model: 'a', pinned: true });
    expect(fleet.ending(fleet.request('b'))).toBe('insufficient_vram');
    fleet.handle({ kind: 'pin', node: 'one', model: 'a', pinned: false });
    const ticket = fleet.request('b');
    fleet.run(8000);
    expect(fleet.ending(ticket)).toBe('grant one');
    expect(fleet.notices.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['pinned', 'unpinned', 'evicted']));
  });

  it('lets an operator free what models.toml pins', () => {
    const pinned = profiles({ id: 'a', pinned_on: ['one'] }, { id: 'b' });
    const fleet = settled([one(['a'])], simConfig([one()], { profiles: pinned }));
    fleet.handle({ kind: 'pin', node: 'one', model: 'a', pinned: false });
    const ticket = fleet.request('b');
    fleet.run(8000);
    expect(fleet.ending(ticket)).toBe('grant one');
  });

  it('keeps a busy model that was about to be drained when it is pinned', () => {
    const fleet = settled([one(['a'])], simConfig([one()], { profiles: profiles({ id: 'b' }) }));
    const running = fleet.request('a');
    const ticket = fleet.request('b');
    fleet.run(20_000);
    fleet.handle({ kind: 'pin', node: 'one', model: 'a', pinned: true });
    fleet.release(running);
    fleet.run(8000);
    expect(fleet.loadedOn('one')).toEqual(['a']);
    expect(fleet.ending(ticket)).toBe('insufficient_vram');
  });

  it('spares who need not go', () => {
    const fleet = settled([{ ...one(['a', 'c']) }]);
    const ticket = fleet.request('b');
    fleet.run(8000);
    expect(fleet.loadedOn('one').toSorted()).toEqual(['b', 'c']);
    expect(fleet.ending(ticket)).toBe('grant one');
  });
});

describe('a model that makes room for another', () => {
  it('takes no new request, and is unloaded the moment the last one ends', () => {
    const { fleet, running } = drained();
    const late = fleet.request('a');
    expect(fleet.ending(late)).toBe('waiting');
    expect(fleet.unloads).toEqual([]);
    fleet.release(running);
    expect(fleet.unloads).toEqual([{ node: 'one', model: 'a', mode: 'wait' }]);
  });

  it('keeps its place when nobody wants it any more', () => {
    const { fleet, running, next } = drained();
    fleet.cancel(next);
    fleet.run(300);
    expect(fleet.ending(fleet.request('a'))).toBe('grant one');
    fleet.release(running);
    fleet.run(3000);
    expect(fleet.unloads).toEqual([]);
  });

  it('is not followed by a load that nobody wants any more', () => {
    const fleet = settled([one(['a'])]);
    const next = fleet.request('b');
    expect(fleet.unloads).toHaveLength(1);
    fleet.cancel(next);
    fleet.run(3000);
    expect([fleet.loads, fleet.state.data.plans.size]).toEqual([[], 0]);
  });

  it('keeps its place when another node has room by then', () => {
    const hold = { ...two, models: [{ id: 'hold', mb: 16_000 }, a, b, c], loaded: ['hold'] };
    const fleet = settled([one(['a']), hold]);
    const running = ['a', 'hold'].map((model) => fleet.request(model));
    const next = fleet.request('b');
    fleet.run(20_000);
    expect(fleet.state.data.plans.get('b')?.phase).toBe('draining');
    const other = fleet.state.data.plans.get('b')?.node.name === 'one' ? 1 : 0;
    fleet.release(running.at(other)!);
    fleet.run(9000);
    expect(fleet.ending(next)).toBe(`grant ${other === 1 ? 'two' : 'one'}`);
    expect(fleet.unloads).toHaveLength(1);
  });
});

describe('what a poll knows too late', () => {
  it('does not free memory for a load: only a poll begun after the unload does', () => {
    const state = evicted();
    expect(kinds(state.handle(polled(2900, 'available', 16_000), 3100))).not.toContain('start_load');
    expect(kinds(state.handle(polled(3100, 'available', 16_000), 3200))).toContain('start_load');
  });

  it('does not bring back a model that has been unloaded since', () => {
    const state = evicted();
    state.handle(polled(2900, 'loaded', 6000), 3100);
    const again = state.handle({ kind: 'acquire', ticket: 2, request: requestFor('a') }, 3150);
    expect(kinds(again)).not.toContain('grant');
  });
});

describe('two models that fight for one node', () => {
  it('take turns in batches instead of swapping for each request', () => {
    const { fleet, served } = duel(180);
    expect(served).toBeGreaterThan(400);
    expect(fleet.loads.length).toBeLessThanOrEqual(12);
    expect(fleet.loads.length).toBeGreaterThanOrEqual(6);
  });

  it('both get their turn in bounded time', () => {
    const { fleet, worstMs } = duel(180);
    expect([...fleet.endings.values()].filter((ending) => ending.kind === 'reject')).toEqual([]);
    expect(worstMs).toBeLessThan(45_000);
  });
});

describe('a full queue', () => {
  it('refuses one more of the same client', () => {
    const fleet = fullQueue();
    expect(fleet.ending(fleet.request('a', { clientId: 'greedy' }))).toBe('rate_limit_exceeded');
  });

  it('makes the greediest client give way to another', () => {
    const fleet = fullQueue();
    const modest = fleet.request('a', { clientId: 'modest' });
    expect(fleet.ending(modest)).toBe('waiting');
    expect(fleet.ending(7)).toBe('rate_limit_exceeded');
    fleet.release(1);
    expect(fleet.ending(modest)).toBe('grant one');
  });
});

describe('nodes', () => {
  it('that die leave routing within one interval, and come back by themselves', () => {
    const fleet = settled([one(['a'])]);
    fleet.kill('one');
    fleet.run(2100);
    expect(fleet.state.data.nodes.get('one')!.reach).toBe('down');
    fleet.run(5000);
    expect(fleet.ending(fleet.request('a'))).toBe('no_healthy_node');
    fleet.revive('one');
    fleet.run(9000);
    expect(fleet.state.data.nodes.get('one')!.reach).toBe('up');
  });

  it('that are late with an answer get nothing new before it has come, and lose nothing', () => {
    const fleet = settled([one(['a']), { ...two, loaded: ['a', 'c'] }]);
    const running = fleet.request('a', { affinityKey: 'k' });
    const [late, other] = fleet.ending(running) === 'grant one' ? ['one', 'two'] : ['two', 'one'];
    fleet.handle({ kind: 'poll_late', node: late });
    for (let i = 0; i < 4; i += 1)
      expect(fleet.ending(fleet.request('a', { affinityKey: 'k' }))).toBe(`grant ${other}`);
    const waiting = fleet.request('a');
    expect(fleet.ending(waiting)).toBe('waiting');
    expect(takeSnapshot(fleet.state.data, fleet.nowMs).nodes.find(({ name }) => name === late)?.reach).toBe('silent');
    fleet.handle({ kind: 'polled', node: late, result: fleet.look(late) });
    expect(fleet.ending(waiting)).toBe(`grant ${late}`);
    expect(fleet.held()).toContain(running);
    expect(fleet.notices.map(({ kind }) => kind)).toEqual(['node_up', 'node_up']);
  });

  it('that leave two looks in a row unanswered are told of to whom has a request there, until they answer', () => {
    const fleet = settled([one(['a'])]);
    const ticket = fleet.request('a');
    const failed = { kind: 'poll_failed', node: 'one', reason: 'no answer in time' } as const;
    const told = (startedMs: number, unanswered: boolean) =>
      fleet.state.handle({ ...failed, startedMs, unanswered }, fleet.nowMs);
    expect(kinds(told(1000, true))).not.toContain('hangs');
    expect(told(2000, true)).toContainEqual({ kind: 'hangs', ticket, sinceMs: 1000 });
    const tick = () => fleet.state.handle({ kind: 'tick' }, fleet.nowMs);
    expect(tick()).toContainEqual({ kind: 'hangs', ticket, sinceMs: 1000 });
    expect(kinds(told(3000, false))).not.toContain('hangs');
    expect(kinds(tick())).not.toContain('hangs');
  });

  it('lost for a moment keep what is queued', () => {
    const fleet = settled([one(['a'])]);
    const running = [1, 2, 3, 4].map(() => fleet.request('a'));
    const ticket = fleet.request('a');
    fleet.handle({ kind: 'poll_failed', node: 'one', reason: 'timeout', startedMs: fleet.nowMs, unanswered: true });
    expect(fleet.ending(ticket)).toBe('waiting');
    fleet.run(2500);
    fleet.release(running.at(0)!);
    expect(fleet.ending(ticket)).toBe('grant one');
  });

  it('that fail requests are left alone, probed one request at a time, and trusted again after a success', () => {
    const fleet = settled([one(['a'])]);
    const outcome = { kind: 'failed', error: failure('upstream_error') } as const;
    const running = [1, 2, 3].map(() => fleet.request('a'));
    for (const ticket of running) fleet.release(ticket, outcome);
    expect(fleet.ending(fleet.request('a'))).toBe('no_healthy_node');
    fleet.run(6000);
    const probe = fleet.request('a');
    const second = fleet.request('a');
    expect(fleet.ending(probe)).toBe('grant one');
    expect(fleet.ending(second)).toBe('waiting');
    fleet.release(probe);
    expect(fleet.ending(second)).toBe('grant one');
    expect(fleet.notices.map((notice) => notice.kind)).toContain('circuit_closed');
  });

  it('that are merely busy are asked again after a pause, and their circuit stays closed', () => {
    const fleet = settled([one(['a'])]);
    for (let i = 0; i < 5; i += 1) {
      fleet.release(fleet.request('a'), { kind: 'failed', error: failure('rate_limit_exceeded') });
      fleet.run(1500);
    }
    expect(fleet.state.data.nodes.get('one')!.circuit.kind).toBe('closed');
  });

  it('are not blamed for clients that leave', () => {
    const fleet = settled([one(['a'])]);
    for (let i = 0; i < 5; i += 1) fleet.release(fleet.request('a'), { kind: 'client' });
    expect(fleet.state.data.nodes.get('one')!.circuit).toEqual({ kind: 'closed', failures: 0 });
  });

  it('that turn out not to have the model are left alone until a poll has looked', () => {
    const fleet = settled([one(['a'])]);
    Object.assign(fleet.node('one').copies.get('a')!, { status: 'available', devices: [] });
    fleet.release(fleet.request('a'), { kind: 'failed', error: failure('model_not_found') });
    const next = fleet.request('a');
    expect(fleet.ending(next)).toBe('waiting');
    fleet.run(8000);
    expect(fleet.ending(next)).toBe('grant one');
    expect(fleet.loads).toHaveLength(1);
  });

  it('are not asked for a model again before a look has told what became of it, however slow that is', () => {
    const fleet = new SimulatedFleet([one(['a'])], simConfig([one()]), () => 3000);
    fleet.run(4000);
    const first = fleet.request('a');
    expect(fleet.ending(first)).toBe('grant one');
    fleet.run(100);
    fleet.node('one').copies.get('a')!.status = 'available';
    fleet.release(first, { kind: 'failed', error: failure('model_not_found') });
    const second = fleet.request('a');
    fleet.run(2500);
    expect(fleet.ending(second)).toBe('waiting');
    fleet.run(30_000);
    expect(fleet.ending(second)).toBe('grant one');
    expect(fleet.loads).toHaveLength(1);
  });

  it('that are lost during an unload are usable as soon as they are back', () => {
    const fleet = settled([one(['a'])]);
    fleet.setForeign('one', 'a', 1);
    fleet.run(3000);
    const next = fleet.request('b');
    fleet.run(20_000);
    expect(fleet.state.data.operations.size).toBe(1);
    fleet.cancel(next);
    fleet.handle({ kind: 'poll_failed', node: 'one', reason: 'timeout', startedMs: fleet.nowMs, unanswered: true });
    expect(fleet.state.data.operations.size).toBe(0);
    fleet.run(3000);
    expect(fleet.ending(fleet.request('a'))).toBe('grant one');
  });

  it('whose devices cannot be used together any more lose what those share, and nothing else', () => {
    const setup: SimNodeSetup = { name: 'one', deviceMb: [16_000, 16_000], models: [a, b], loaded: ['b'] };
    const tables = profiles({ id: 'a', min_devices: 2 });
    const fleet = settled(
      [setup, { ...setup, name: 'two', loaded: [] }],
      simConfig([setup, two], { profiles: tables }),
    );
    const shared = fleet.request('a');
    fleet.run(8000);
    const name = fleet.ending(shared).replace('grant ', '');
    fleet.release(shared);
    fleet.node(name).brokenGroups.push({ devices: [0, 1], by_layers: false, reason: 'a sum hung' });
    fleet.run(3000);
    expect(fleet.notices).toContainEqual({ kind: 'group_broken', node: name, devices: [0, 1], reason: 'a sum hung' });
    expect(fleet.ending(fleet.request('b'))).toBe('grant one');
    const again = fleet.request('a');
    fleet.run(20_000);
    expect(fleet.ending(again)).toBe(`grant ${name === 'one' ? 'two' : 'one'}`);
  });

  it('with a poisoned device lose its models but serve the others', () => {
    const setup: SimNodeSetup = { name: 'one', deviceMb: [16_000, 16_000], models: [a, b], loaded: ['a', 'b'] };
    const fleet = settled([setup]);
    fleet.node('one').poisoned.add(0);
    fleet.run(3000);
    expect(fleet.ending(fleet.request('b'))).toBe('grant one');
    expect(fleet.ending(fleet.request('a'))).not.toContain('grant');
    expect(fleet.notices.map((notice) => notice.kind)).toContain('device_poisoned');
  });
});

describe('draining a node', () => {
  it('sends nothing new there, and serves what was accepted before', () => {
    const fleet = settled([one(['a'])]);
    const running = [1, 2, 3, 4].map(() => fleet.request('a'));
    const before = fleet.request('a');
    fleet.handle({ kind: 'drain', node: 'one' });
    const after = fleet.request('a');
    expect(fleet.ending(after)).toBe('no_healthy_node');
    fleet.release(running.at(0)!);
    expect(fleet.ending(before)).toBe('grant one');
    for (const ticket of [...running.slice(1), before]) fleet.release(ticket);
    expect(fleet.notices.at(-1)).toEqual({ kind: 'drained', node: 'one' });
  });

  it('has not ended while a load there is waited for by who came before', () => {
    const fleet = settled([one()]);
    const before = fleet.request('a');
    fleet.run(1000);
    fleet.handle({ kind: 'drain', node: 'one' });
    const said = (): number => fleet.notices.filter(({ kind }) => kind === 'drained').length;
    fleet.run(8000);
    expect([fleet.ending(before), said()]).toEqual(['grant one', 0]);
    fleet.release(before);
    expect(said()).toBe(1);
    fleet.run(5000);
    expect(said()).toBe(1);
  });

  it('has ended as soon as nobody waits any more', () => {
    const fleet = settled([one()]);
    const before = fleet.request('a');
    fleet.run(1000);
    fleet.handle({ kind: 'drain', node: 'one' });
    fleet.cancel(before);
    fleet.run(1000);
    expect(fleet.notices.map(({ kind }) => kind)).toContain('drained');
  });

  it('loads its models elsewhere for those who come later', () => {
    const fleet = settled([one(['a']), two]);
    fleet.handle({ kind: 'drain', node: 'one' });
    const ticket = fleet.request('a');
    fleet.run(8000);
    expect(fleet.ending(ticket)).toBe('grant two');
    fleet.handle({ kind: 'undrain', node: 'one' });
    expect(fleet.ending(fleet.request('a', { excludedNodes: new Set(['two']) }))).toBe('grant one');
  });
});

describe('idle models', () => {
  const idle = { eviction: { idleUnloadMs: 60_000 } };

  it('are unloaded after their time without use', () => {
    const fleet = settled([one(['a'])], simConfig([one()], idle));
    fleet.run(50_000);
    fleet.release(fleet.request('a'));
    fleet.run(50_000);
    expect(fleet.unloads).toEqual([]);
    fleet.run(15_000);
    expect(fleet.unloads).toEqual([{ node: 'one', model: 'a', mode: 'refuse' }]);
    expect(fleet.notices.map((notice) => notice.kind)).toContain('idle_unloaded');
  });

  it('are not those that have been serving one long request', () => {
    const fleet = settled([one(['a'])], simConfig([one()], idle));
    const running = fleet.request('a');
    fleet.run(120_000);
    expect(fleet.unloads).toEqual([]);
    fleet.release(running);
    fleet.run(50_000);
    expect(fleet.unloads).toEqual([]);
  });

  it('are not those in use, also where their time is shorter than that between two looks at the node', () => {
    const poll = { intervalMs: 60_000, timeoutMs: 1500, backOffMaxMs: 60_000 };
    const fleet = settled([one(['a'])], simConfig([one()], { poll, eviction: { idleUnloadMs: 10_000 } }));
    const running = fleet.request('a');
    fleet.run(50_000);
    expect(fleet.unloads).toEqual([]);
    fleet.release(running);
    fleet.run(15_000);
    expect(fleet.loadedOn('one')).toEqual([]);
  });

  it('stay when pinned, unless they have a time of their own', () => {
    const stays = settled(
      [one(['a'])],
      simConfig([one()], { ...idle, profiles: profiles({ id: 'a', pinned_on: ['one'] }) }),
    );
    stays.run(120_000);
    expect(stays.unloads).toEqual([]);
    const own = profiles({ id: 'a', pinned_on: ['one'], idle_unload_secs: 30 });
    const goes = settled([one(['a'])], simConfig([one()], { ...idle, profiles: own }));
    goes.run(40_000);
    expect(goes.unloads).toHaveLength(1);
  });

  it('that are asked for while they are being unloaded are loaded again', () => {
    const fleet = settled([one(['a'])], simConfig([one()], idle));
    while (fleet.unloads.length === 0) fleet.run(100);
    const ticket = fleet.request('a');
    expect(fleet.ending(ticket)).toBe('waiting');
    fleet.run(8000);
    expect(fleet.ending(ticket)).toBe('grant one');
  });
});

describe('an operator', () => {
  it('loads a model on a node, evicting as for a request', () => {
    const fleet = settled([one(['a']), two]);
    const ticket = fleet.load('b', 'one');
    fleet.run(8000);
    expect(fleet.endings.get(ticket)).toEqual({ kind: 'loaded', node: 'one' });
    expect(fleet.endings.get(fleet.load('b', 'one'))).toEqual({ kind: 'loaded', node: 'one' });
  });

  it('is told that a model is busy, unless the unload may wait', () => {
    const fleet = settled([one(['a'])]);
    const running = fleet.request('a');
    expect(fleet.ending(fleet.unload('a'))).toBe('model_busy');
    const waits = fleet.unload('a', 'wait');
    const late = fleet.request('a');
    fleet.run(1000);
    expect([fleet.ending(waits), fleet.ending(late)]).toEqual(['waiting', 'waiting']);
    fleet.release(running);
    fleet.run(8000);
    expect(fleet.endings.get(waits)).toEqual({ kind: 'unloaded', nodes: ['one'] });
    expect(fleet.ending(late)).toBe('grant one');
  });

  it('is told that a model is busy while it is being loaded', () => {
    const fleet = settled([one()]);
    const waiting = fleet.request('a');
    expect(fleet.ending(fleet.unload('a'))).toBe('model_busy');
    fleet.run(2000);
    expect(fleet.ending(fleet.unload('a', 'force'))).toBe('model_busy');
    fleet.run(8000);
    expect(fleet.ending(waiting)).toBe('grant one');
    expect(fleet.ending(fleet.unload('b'))).toBe('model_not_found');
  });

  it('hears that an unload was lost when the node is restarted meanwhile', () => {
    const fleet = settled([one(['a'])]);
    fleet.request('a');
    const waits = fleet.unload('a', 'wait');
    fleet.run(100);
    fleet.kill('one');
    fleet.revive('one');
    fleet.run(3000);
    expect(fleet.ending(waits)).toBe('upstream_disconnected');
  });

  it('hears which model or node does not exist', () => {
    const fleet = settled([one()]);
    expect(fleet.ending(fleet.load('nope'))).toBe('model_not_found');
    expect(fleet.ending(fleet.load('a', 'nowhere'))).toBe('not_found');
    expect(fleet.ending(fleet.unload('a'))).toBe('model_not_found');
  });

  it('is told when a node has swapped so often that its memory may be fragmented', () => {
    const fleet = settled([one()], simConfig([one()], { eviction: { defragAfterCycles: 2 } }));
    for (const model of ['a', 'b', 'a', 'b']) {
      const ticket = fleet.request(model);
      fleet.run(10_000);
      fleet.release(ticket);
      fleet.run(1000);
    }
    expect(fleet.notices.filter((notice) => notice.kind === 'defrag_due')).toEqual([
      { kind: 'defrag_due', node: 'one', cycles: 2 },
    ]);
    expect(fleet.state.data.nodes.get('one')!.defragDue).toBe(true);
  });
});

describe('before the first poll', () => {
  it('a name nobody knows yet waits, and is resolved once the nodes have been seen', () => {
    const fleet = new SimulatedFleet([one(['a'])], simConfig([one()], { aliases: { 'claude-*': 'a' } }));
    const known = fleet.request('claude-haiku');
    const unknown = fleet.request('gpt-0');
    expect([fleet.ending(known), fleet.ending(unknown)]).toEqual(['waiting', 'waiting']);
    fleet.run(100);
    expect([fleet.ending(known), fleet.ending(unknown)]).toEqual(['grant one', 'model_not_found']);
  });

  it('a name that nobody may ever know is not shown to anybody', () => {
    const fleet = new SimulatedFleet([one(['a'])]);
    fleet.request('made up');
    const { queue } = takeSnapshot(fleet.state.data, fleet.nowMs);
    expect(queue).toMatchObject({ waiting: 1, by_model: [] });
  });

  it('a node that stays away is waited for only a moment', () => {
    const fleet = new SimulatedFleet([one(['a']), two]);
    fleet.kill('one');
    const unknown = fleet.request('gpt-0');
    fleet.run(3000);
    expect(fleet.ending(unknown)).toBe('waiting');
    fleet.run(1500);
    expect(fleet.ending(unknown)).toBe('model_not_found');
  });
});

describe('explain', () => {
  const ask = { needsVision: false, tokensMin: 1, clientId: 'x', priority: 0, excludedNodes: new Set<string>() };

  it('says what would be done, and does nothing', () => {
    const fleet = settled([one(['a'])]);
    const explained = fleet.state.explain({ ...ask, model: 'b' }, fleet.nowMs);
    expect(explained).toMatchObject({
      resolvedModel: 'b',
      action: 'evict_and_load',
      chosen: 'one',
      evictions: [{ node: 'one', model: 'a' }],
    });
    fleet.run(5000);
    expect(fleet.loads).toEqual([]);
    expect(fleet.unloads).toEqual([]);
  });

  it('gives a reason for every node', () => {
    const fleet = settled([one(['a']), two]);
    const explained = fleet.state.explain({ ...ask, model: 'a' }, fleet.nowMs);
    expect(explained.action).toBe('forward');
    expect(explained.candidates).toEqual([
      { node: 'one', verdict: 'chosen', reason: 'model loaded, 0 of 4 in flight' },
      { node: 'two', verdict: 'rejected', reason: 'model not loaded; 10000 MB fit on device 0' },
    ]);
  });

  it('explains a refusal as the request would get it', () => {
    const fleet = settled([one(['a'])]);
    const explained = fleet.state.explain({ ...ask, model: 'a', needsVision: true }, fleet.nowMs);
    expect(explained).toMatchObject({ action: 'refuse', chosen: null, error: { code: 'vision_unsupported' } });
    expect(explained.candidates).toEqual([{ node: 'one', verdict: 'rejected', reason: 'no vision' }]);
    const long = fleet.state.explain({ ...ask, model: 'b', tokensMin: 99_000 }, fleet.nowMs);
    expect(long.candidates).toMatchObject([{ reason: 'model not loaded; context 32768 < 99000' }]);
    expect(fleet.ending(fleet.request('a', { needsVision: true }))).toBe('vision_unsupported');
  });
});
