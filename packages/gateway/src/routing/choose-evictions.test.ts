import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { profiles } from '../../test/fleet/simulated-fleet.ts';
import { nodeView, type EntryFacts } from '../../test/fleet/views.ts';
import {
  chooseEvictions,
  judgeEviction,
  type EvictionContext,
  type EvictionStrategy,
  type Incoming,
} from './choose-evictions.ts';
import { fitDevices, freeFor, heldMb, spreadOn, type Spread } from './memory.ts';
import type { ModelOnNode, NodeView } from './topology.ts';

const nowMs = 100_000;

const context = (strategy: EvictionStrategy = 'lru', tables: readonly object[] = []): EvictionContext => {
  const byId = new Map(profiles(...tables).map((profile) => [profile.id, profile]));
  return {
    policy: { strategy, lingerMs: 500, swapAfterMs: 15_000 },
    nowMs,
    profileOf: (id) => byId.get(id),
    isWanted: () => false,
    loadMs: () => null,
  };
};

const spread = spreadOn(nodeView('n'), undefined, undefined, 0);
const sharing = { each_mb: 500, first_mb: 700, parts: [{ name: 'columns', count: 64, mb: 90 }] };
const incoming = (needMb: number, waitMs = 0): Incoming => ({ profile: undefined, spread, needMb, waitMs });

const resident = (facts: EntryFacts): ModelOnNode => nodeView('n', { models: { r: facts } }).models.get('r')!;

const chosen = (node: NodeView, needMb: number, ctx = context()): readonly string[] | null =>
  chooseEvictions(node, incoming(needMb), [...node.models.values()], ctx)?.victims.map((victim) => victim.id) ?? null;

describe('a resident model', () => {
  it('may leave when nobody uses it', () => {
    expect(judgeEviction(resident({}), incoming(1), context())).toEqual({ kind: 'now' });
  });

  it.each([
    ['leased', { leases: 1 }],
    ['busy for others', { foreign: 1 }],
    ['loading', { status: 'loading' as const }],
    ['being loaded by us', { operation: 'load' as const }],
    ['being unloaded', { operation: 'unload' as const }],
    ['on its way out for another', { closingFor: 'x' }],
    ['just used', { lastUsedMs: nowMs - 100 }],
    ['said to be busy by its node', { evictAgainMs: nowMs + 1 }],
  ])('may not leave now while it is %s', (_, facts) => {
    expect(judgeEviction(resident(facts), incoming(1), context()).kind).toBe('later');
  });

  it('is wanted, and so in use, while requests wait for it', () => {
    expect(judgeEviction(resident({}), incoming(1), { ...context(), isWanted: () => true }).kind).toBe('later');
  });

  it('is drained for who has waited long, once it has had its own turn', () => {
    const patient = incoming(1, 15_000);
    expect(judgeEviction(resident({ leases: 1 }), patient, context()).kind).toBe('drain');
    expect(judgeEviction(resident({ leases: 1, loadedAtMs: nowMs - 14_000 }), patient, context()).kind).toBe('later');
    const slow = { ...context(), loadMs: () => 60_000 };
    expect(judgeEviction(resident({ leases: 1, loadedAtMs: nowMs - 50_000 }), patient, slow).kind).toBe('later');
    expect(judgeEviction(resident({ leases: 1, loadedAtMs: nowMs - 60_000 }), patient, slow).kind).toBe('drain');
  });

  it('never leaves when pinned there, however long somebody waits', () => {
    const ctx = context('lru', [{ id: 'r', pinned_on: ['n'] }]);
    expect(judgeEviction(resident({}), incoming(1, 1e9), ctx)).toEqual({ kind: 'never', reason: 'r is pinned' });
    const elsewhere = context('lru', [{ id: 'r', pinned_on: ['other'] }]);
    expect(judgeEviction(resident({}), incoming(1), elsewhere).kind).toBe('now');
  });

  it('leaves for models of its class and above, whatever the strategy, and for none below', () => {
    const tables = [
      { id: 'r', pinned_on: ['n'], residency_priority: 200 },
      { id: 'peer', residency_priority: 200 },
      { id: 'lesser', residency_priority: 199 },
    ];
    for (const strategy of ['lru', 'priority'] as const) {
      const ctx = context(strategy, tables);
      const by = (id: string): Incoming => ({ profile: ctx.profileOf(id), spread, needMb: 1, waitMs: 0 });
      expect(judgeEviction(resident({}), by('peer'), ctx).kind).toBe('now');
      expect(judgeEviction(resident({}), by('lesser'), ctx)).toEqual({
        kind: 'never',
        reason: 'r has residency_priority 200 > 199',
      });
    }
  });
});

const fullNode = (models: Record<string, EntryFacts>): NodeView =>
  nodeView('n', { devices: [{ totalMb: 24_000, freeMb: 0 }], models });

describe('the chosen victims', () => {
  it('are none where devices may share by what is free of each', () => {
    const node = nodeView('n', {
      devices: [
        { totalMb: 24_000, freeMb: 16_000 },
        { totalMb: 24_000, freeMb: 4000 },
      ],
      models: { x: { devices: [1], vramUsedMb: 20_000 } },
    });
    const over = { ...incoming(0), spread: { ...spread, nDevices: 2, sharing } };
    expect(chooseEvictions(node, over, [...node.models.values()], context())).toMatchObject({ victims: [] });
  });

  it('are the least recently used', () => {
    const node = fullNode({ new: { vramUsedMb: 12_000, lastUsedMs: 9 }, old: { vramUsedMb: 12_000, lastUsedMs: 1 } });
    expect(chosen(node, 10_000)).toEqual(['old']);
  });

  it('are those of the lowest class first under priority, and then the least recently used', () => {
    const node = fullNode({
      low: { vramUsedMb: 8000, lastUsedMs: 9 },
      older: { vramUsedMb: 8000, lastUsedMs: 1 },
      newer: { vramUsedMb: 8000, lastUsedMs: 5 },
    });
    const ctx = context('priority', [{ id: 'low', residency_priority: 50 }]);
    expect(chosen(node, 8000, ctx)).toEqual(['low']);
    expect(chosen(node, 16_000, ctx)).toEqual(['low', 'older']);
  });

  it('are not more than needed', () => {
    const node = fullNode({ small: { vramUsedMb: 4000, lastUsedMs: 1 }, big: { vramUsedMb: 20_000, lastUsedMs: 2 } });
    expect(chosen(node, 18_000)).toEqual(['big']);
  });

  it('are none when it would not fit even so', () => {
    expect(chosen(fullNode({ a: { vramUsedMb: 8000 } }), 10_000)).toBeNull();
  });

  it('never include one that could stay, and their most valuable one could not be spared by any other set', () => {
    const modelArb = fc.record({
      devices: fc.constantFrom([0], [1], [0, 1]),
      vramUsedMb: fc.integer({ min: 1, max: 12 }).map((n) => n * 1000),
      lastUsedMs: fc.integer({ min: 0, max: 1000 }),
    });
    const spreads: readonly Spread[] = [spread, { ...spread, nDevices: 2 }, { ...spread, nDevices: 2, sharing }];
    const needArb = fc.integer({ min: 1, max: 16 });
    fc.assert(
      fc.property(
        fc.array(modelArb, { maxLength: 7 }),
        needArb,
        fc.constantFrom(...spreads),
        (models, needed, over) => {
          const entries = Object.fromEntries(models.map((model, i) => [`m${i}`, model]));
          const node = nodeView('n', {
            devices: [
              { totalMb: 99_000, freeMb: 1000 },
              { totalMb: 99_000, freeMb: 2000 },
            ],
            models: entries,
          });
          const all = [...node.models.values()];
          const need = { ...incoming(needed * 1000), spread: over };
          const fits = (gone: readonly ModelOnNode[]): boolean =>
            fitDevices(node, over, need.needMb, (device) =>
              gone.reduce((free, model) => free + heldMb(model, device?.index ?? null), freeFor(node, over)(device)),
            ) !== null;
          const eviction = chooseEvictions(node, need, all, context());
          const victims = eviction?.victims ?? [];
          expect(fits(all)).toBe(eviction !== null);
          if (eviction === null) return;
          expect(fits(victims)).toBe(true);
          for (const victim of victims) expect(fits(victims.filter((other) => other !== victim))).toBe(false);
          const dearest = Math.max(-1, ...victims.map((victim) => victim.lastUsedMs));
          expect(fits(all.filter((model) => model.lastUsedMs < dearest)) && victims.length > 0).toBe(false);
        },
      ),
    );
  });
});
