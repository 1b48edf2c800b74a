import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { profiles } from '../../test/fleet/simulated-fleet.ts';
import { nodeView, topologyOf } from '../../test/fleet/views.ts';
import type { EntryFacts } from '../../test/fleet/views.ts';
import { decidePlacement, judgeSites, type Demand, type PlacementContext } from './decide-placement.ts';
import type { CoolDown, NodeView } from './topology.ts';

const nowMs = 100_000;
const onDisk = { m: { status: 'available', vramNeededMb: 10_000 } } as const;

interface Scene {
  readonly tables?: readonly object[];
  readonly demand?: Partial<Demand>;
  readonly coolDowns?: Readonly<Record<string, CoolDown>>;
}

const contextOf = (nodes: readonly NodeView[], { tables = [], coolDowns = {} }: Scene): PlacementContext => {
  const topology = topologyOf(nodes, profiles(...tables));
  return {
    topology,
    needMb: (id, node) => node.models.get(id)?.vramNeededMb ?? topology.profiles.get(id)?.vram_mb ?? null,
    coolDown: (_, node) => coolDowns[node] ?? null,
    isDoubted: () => false,
    downGraceMs: 4000,
    eviction: {
      policy: { strategy: 'lru', lingerMs: 500, swapAfterMs: 15_000 },
      nowMs,
      profileOf: (id) => topology.profiles.get(id),
      isWanted: () => false,
      loadMs: () => null,
    },
  };
};

const demandOf = (more: Partial<Demand> = {}): Demand => ({
  modelId: 'm',
  needsVision: false,
  tokensMin: 1,
  excludedNodes: new Set(),
  affinity: null,
  arrival: 1,
  waitMs: 0,
  onlyNode: null,
  ...more,
});

/** `place one [0] evicting x`, `wait …`, `refuse code`. */
const decided = (nodes: readonly NodeView[], scene: Scene = {}): string => {
  const placement = decidePlacement(contextOf(nodes, scene), demandOf(scene.demand));
  if (placement.kind === 'wait') return `wait ${placement.reason}`;
  if (placement.kind === 'refuse') return `refuse ${placement.error.code}`;
  const { node, fit, victims } = placement.site;
  const evicting = victims.length === 0 ? '' : ` evicting ${victims.map((victim) => victim.id).join(' ')}`;
  return `place ${node.name} [${fit.devices.join(' ')}]${evicting}`;
};

/** Megabytes by device. */
const fitOf = (node: NodeView, scene: Scene = {}): Readonly<Record<number, number>> | null => {
  const placement = decidePlacement(contextOf([node], scene), demandOf(scene.demand));
  if (placement.kind !== 'place') return null;
  const { devices, mb } = placement.site.fit;
  return Object.fromEntries(devices.map((device, i) => [device, mb[i] ?? 0]));
};

const reasons = (nodes: readonly NodeView[], scene: Scene = {}): readonly string[] =>
  judgeSites(contextOf(nodes, scene), demandOf(scene.demand)).map((site) => `${site.kind}: ${site.reason}`);

const filledNode = (name: string, lastUsedMs: number): NodeView =>
  nodeView(name, { devices: [{ freeMb: 0 }], models: { ...onDisk, x: { vramUsedMb: 16_000, lastUsedMs } } });

describe('a model is placed', () => {
  it('where the most memory is free', () => {
    const nodes = [nodeView('small', { models: onDisk }), nodeView('large', { devices: [24_000], models: onDisk })];
    expect(decided(nodes)).toBe('place large [0]');
  });

  it('rather where its files are, and on an accelerator, and on devices with fewer models', () => {
    const table = { tables: [{ id: 'm', vram_mb: 10_000 }] };
    expect(decided([nodeView('bare', { devices: [48_000] }), nodeView('files', { models: onDisk })], table)).toBe(
      'place files [0]',
    );
    const cpu = nodeView('cpu', { devices: [{ totalMb: 99_000, backend: 'cpu' }], models: onDisk });
    expect(decided([cpu, nodeView('gpu', { models: onDisk })])).toBe('place gpu [0]');
    const shared = nodeView('shared', { devices: [48_000], models: { ...onDisk, other: { vramUsedMb: 0 } } });
    expect(decided([shared, nodeView('alone', { models: onDisk })])).toBe('place alone [0]');
  });

  it('rather beside others than in their place', () => {
    const full = nodeView('full', {
      devices: [{ totalMb: 24_000, freeMb: 4000 }],
      models: { ...onDisk, x: { vramUsedMb: 20_000 } },
    });
    const beside = nodeView('beside', {
      devices: [{ totalMb: 16_000, freeMb: 11_000 }],
      models: { ...onDisk, y: { vramUsedMb: 5000 } },
    });
    expect(decided([full, beside])).toBe('place beside [0]');
    expect(decided([full])).toBe('place full [0] evicting x');
  });

  it('in the place of the least recently used of all nodes', () => {
    expect(decided([filledNode('fresh', 50), filledNode('stale', 10)])).toBe('place stale [0] evicting x');
  });

  it('rather in the place of an idle model than of a busy one, and of that only after a long wait', () => {
    const busy = nodeView('busy', {
      devices: [{ freeMb: 0 }],
      models: { ...onDisk, x: { vramUsedMb: 16_000, leases: 1 } },
    });
    const idle = nodeView('idle', {
      devices: [{ freeMb: 0 }],
      models: { ...onDisk, y: { vramUsedMb: 16_000, lastUsedMs: 9 } },
    });
    expect(decided([busy, idle], { demand: { waitMs: 20_000 } })).toBe('place idle [0] evicting y');
    expect(decided([busy])).toBe('wait busy: x is serving 1');
    expect(decided([busy], { demand: { waitMs: 20_000 } })).toBe('place busy [0] evicting x');
  });

  it('over as many alike devices as its profile says, each with an equal part where there is room for that', () => {
    const table = { tables: [{ id: 'm', vram_mb: 30_000, min_devices: 2, min_device_vram_mb: 16_000 }] };
    expect(fitOf(nodeView('alike', { devices: [24_000, 16_000] }), table)).toEqual({ 0: 15_000, 1: 15_000 });
    const mixed = nodeView('mixed', { devices: [24_000, 8000, 16_000] });
    expect(decided([mixed], table)).toBe('place mixed [0 2]');
    const apart = nodeView('apart', { devices: [24_000, { totalMb: 24_000, backend: 'vulkan' }] });
    expect(decided([apart], table)).toBe('refuse model_not_found');
    expect(reasons([apart], table)).toEqual(['never: not 2 alike devices with 16000 MB each']);
  });

  it("over the devices that the node's operator has it on, where its profile says nothing of that", () => {
    const m = { ...onDisk.m, vramNeededMb: 30_000, placement: { nDevices: 2, devices: null } };
    const three = [16_000, 14_000, 20_000];
    expect(decided([nodeView('n', { devices: three, models: { m } })])).toBe('place n [0 2]');
    const named = { ...m, vramNeededMb: 31_000, placement: { nDevices: 2, devices: [0, 1] } };
    expect(reasons([nodeView('n', { devices: three, models: { m: named } })])).toEqual([
      'never: 31000 MB over 2 devices do not fit: device 0 has 16000, device 1 has 14000',
    ]);
    const table = { tables: [{ id: 'm', min_devices: 3 }] };
    expect(decided([nodeView('n', { devices: three, models: { m: named } })], table)).toBe('place n [0 1 2]');
    const alone = { ...m, vramNeededMb: 10_000, placement: { nDevices: 1, devices: [1] } };
    expect(decided([nodeView('n', { devices: three, models: { m: alone } })])).toBe('place n [1]');
  });

  it('in layers over all devices and the host where a node says that only so, but rather where it is whole', () => {
    const m = { ...onDisk.m, vramNeededMb: 30_000 };
    const layered = {
      devices: [16_000, 14_000],
      models: { m: { ...m, offload: { hostMb: 20_000, isDefault: true } } },
    };
    expect(decided([nodeView('n', layered)])).toBe('place n [0 1]');
    expect(reasons([nodeView('n', layered)])).toEqual([
      "place: no device holds 30000 MB: layers on device 0, 1 and in the host's memory",
    ]);
    const busy = { vramUsedMb: 40_000, leases: 0 };
    const whole = nodeView('whole', { devices: [{ totalMb: 48_000, freeMb: 8000 }], models: { m, x: busy } });
    expect(decided([nodeView('n', layered), whole])).toBe('place whole [0] evicting x');
    expect(
      reasons([nodeView('small', { ...layered, models: { m: { ...m, offload: { hostMb: 0, isDefault: true } } } })]),
    ).toEqual(["place: no device holds 30000 MB: layers on device 0, 1 and in the host's memory"]);
    const short = {
      ...layered,
      devices: [16_000],
      models: { m: { ...m, offload: { hostMb: 10_000, isDefault: true } } },
    };
    expect(reasons([nodeView('short', short)])).toEqual(['never: no device with 30000 MB']);
  });

  it('in layers where its profile allows that, though the node would not by itself, and never where it forbids it', () => {
    const m = { ...onDisk.m, vramNeededMb: 30_000, servable: false, servableReason: 'it needs 30000 MB' };
    const node = nodeView('n', {
      devices: [16_000, 14_000],
      models: { m: { ...m, offload: { hostMb: 20_000, isDefault: false } } },
    });
    expect(reasons([node])).toEqual(['never: not servable: it needs 30000 MB']);
    expect(decided([node], { tables: [{ id: 'm', layer_offload: true }] })).toBe('place n [0 1]');
    const ready = nodeView('n', {
      models: { m: { ...m, servable: true, offload: { hostMb: 20_000, isDefault: true } } },
    });
    expect(reasons([ready], { tables: [{ id: 'm', layer_offload: false }] })).toEqual([
      'never: no device with 30000 MB',
    ]);
  });

  it('in layers on a node without its files, by the memory of its host, but rather where a device holds it', () => {
    const table = { tables: [{ id: 'm', vram_mb: 30_000, layer_offload: true }] };
    const small = nodeView('small', { devices: [16_000], hostFreeMb: 20_000 });
    expect(decided([small])).toBe('refuse model_not_found');
    expect(reasons([small], table)).toEqual([
      "place: no device holds 30000 MB: layers on device 0 and in the host's memory",
    ]);
    const large = nodeView('large', {
      devices: [{ totalMb: 48_000, freeMb: 8000 }],
      models: { x: { vramUsedMb: 40_000 } },
    });
    expect(decided([small, large], table)).toBe('place large [0] evicting x');
    const taken = nodeView('taken', { devices: [16_000], hostFreeMb: 10_000 });
    expect(reasons([taken], table)).toEqual(['never: no device with 30000 MB']);
    const silent = nodeView('silent', { devices: [16_000] });
    const cpu = nodeView('cpu', { devices: [{ totalMb: 16_000, backend: 'cpu' }], hostFreeMb: 90_000 });
    expect(reasons([silent, cpu], table)).toEqual(['never: no device with 30000 MB', 'never: no device with 30000 MB']);
  });

  it('in the place of another model whose layers have the memory of the host', () => {
    const m = { ...onDisk.m, vramNeededMb: 30_000, offload: { hostMb: 20_000, isDefault: true } };
    const part = { name: 'x', layers: 9 };
    const layers = [
      { ...part, device: 0, mb: 1000 },
      { ...part, device: null, mb: 15_000 },
    ];
    const node = nodeView('n', {
      devices: [{ totalMb: 16_000, freeMb: 15_000 }],
      models: { m, x: { layers, vramUsedMb: 1000 } },
    });
    expect(decided([node])).toBe('place n [0] evicting x');
  });

  it('never on a poisoned device, nor on memory promised to another load', () => {
    const poisoned = nodeView('p', { devices: [{ poisoned: true }, 12_000], models: onDisk });
    expect(decided([poisoned])).toBe('place p [1]');
    const promised = nodeView('n', {
      reservations: [{ modelId: 'x', devices: [0], mostMb: [8000] }],
      models: onDisk,
    });
    expect(decided([promised])).toBe('wait n: another model is being placed there');
    const coming = { status: 'loading', devices: [0], vramNeededMb: 8000, vramUsedMb: 1000 } as const;
    expect(decided([nodeView('n', { models: { ...onDisk, x: coming } })])).toBe('wait n: x is loading');
  });

  it('with evictions only on devices that no other load is about to change', () => {
    const node = nodeView('n', {
      devices: [{ freeMb: 0 }, { freeMb: 0 }],
      reservations: [{ modelId: 'x', devices: [0], mostMb: [16_000] }],
      models: { ...onDisk, going: { closingFor: 'x' }, idle: { devices: [1], vramUsedMb: 16_000 } },
    });
    expect(decided([node])).toBe('place n [1] evicting idle');
    const shared = nodeView('n', {
      devices: [{ totalMb: 24_000, freeMb: 4000 }],
      reservations: [{ modelId: 'x', devices: [0], mostMb: [4000] }],
      models: { ...onDisk, idle: { vramUsedMb: 20_000 } },
    });
    expect(decided([shared])).toBe('wait n: another model is being placed there');
  });

  it('not before a poll has seen what was freed', () => {
    const node = nodeView('n', { devices: [{ freeMb: 0 }], polledMs: 10, freedMs: 20, models: onDisk });
    expect(decided([node])).toBe('wait n: its free memory is being looked at');
  });

  it('not a second time while it is on its way anywhere', () => {
    const coming = nodeView('coming', { models: { m: { status: 'loading', vramNeededMb: 10_000 } } });
    expect(decided([nodeView('free', { models: onDisk }), coming])).toBe('wait coming: model loading');
  });
});

describe('a model that devices share', () => {
  const table = { tables: [{ id: 'm', min_devices: 2 }] };
  /** 18,000 MB over two: 1000 on each, a tower of 2000 on the first, four heads of 2000 and a hundred columns of 60. */
  const m: EntryFacts = {
    ...onDisk.m,
    sharing: {
      each_mb: 1000,
      first_mb: 2000,
      parts: [
        { name: 'key/value heads', count: 4, mb: 2000 },
        { name: 'columns', count: 100, mb: 60 },
      ],
    },
  };
  const over = (...devices: readonly number[]): NodeView => nodeView('n', { devices, models: { m } });

  it('is placed by what each has free, in whole pieces, as the node would have it', () => {
    expect(fitOf(over(24_000, 24_000), table)).toEqual({ 0: 10_000, 1: 8000 });
    // No more than a head, and the other takes three.
    expect(fitOf(over(7000, 24_000), table)).toEqual({
      0: expect.any(Number) as number,
      1: expect.any(Number) as number,
    });
    expect(fitOf(over(7000, 24_000), table)?.[0]).toBeLessThanOrEqual(7000);
    expect(reasons([over(7000, 24_000)], table)[0]).toMatch(/^place: 18000 MB fit on device 0, 1 \(\d+ \+ \d+\)$/);
  });

  it('is not placed where what cannot be divided finds no room, though together there would be', () => {
    // The tower, what each has, and a piece of every kind.
    expect(reasons([over(5000, 24_000)], table)).toEqual([
      'never: 18000 MB over 2 devices do not fit: device 0 has 5000, device 1 has 24000',
    ]);
    const five = { tables: [{ id: 'm', min_devices: 5 }] };
    expect(reasons([over(24_000, 24_000, 24_000, 24_000, 24_000)], five)).toEqual([
      'never: 5 devices cannot share it: there are only 4 key/value heads',
    ]);
  });

  it('has its tower on another where the first has no room for that', () => {
    expect(fitOf(over(4000, 12_000, 14_000), table)).toEqual({ 1: 10_000, 2: 8000 });
    // Of the two with the most the first is too small for the tower.
    expect(fitOf(nodeView('n', { devices: [5000, 24_000, 4900], models: { m } }), table)).toEqual({
      1: expect.any(Number) as number,
      2: expect.any(Number) as number,
    });
  });

  it('is on other devices than those that cannot be used together until a restart, and else is refused with that', () => {
    const broken = [{ devices: [1, 0], by_layers: false, reason: 'a step has not returned for 300 s' }];
    const three = nodeView('n', { devices: [24_000, 24_000, 16_000], models: { m }, brokenGroups: broken });
    expect(Object.keys(fitOf(three, table) ?? {})).toEqual(['1', '2']);
    const two = nodeView('n', { devices: [24_000, 24_000], models: { m }, brokenGroups: broken });
    const placement = decidePlacement(contextOf([two], table), demandOf());
    const why = 'devices 1, 0 cannot be used together until the node is restarted: a step has not returned for 300 s';
    expect(placement).toMatchObject({
      kind: 'refuse',
      error: { code: 'device_poisoned', message: `Nothing is left that could serve 'm' (n: ${why}).` },
    });
    const elsewhere = nodeView('other', { devices: [12_000, 12_000], models: { m } });
    expect(decided([two, elsewhere], table)).toBe('place other [0 1]');
    // By layers of their own they still go together, and alone.
    const alone = nodeView('n', { devices: [24_000], models: { m: onDisk.m }, brokenGroups: broken });
    expect(decided([alone])).toBe('place n [0]');
  });

  it('takes the place of no more than it must: a device that is too full for an equal part may have less', () => {
    const node = nodeView('n', {
      devices: [
        { totalMb: 24_000, freeMb: 24_000 },
        { totalMb: 24_000, freeMb: 6000 },
      ],
      models: { m, x: { devices: [1], vramUsedMb: 18_000 } },
    });
    expect(decided([node], table)).toBe('place n [0 1]');
  });

  it('waits for another load before its parts follow what that will leave', () => {
    const reservations = [{ modelId: 'x', devices: [1], mostMb: [18_000] }];
    const node = nodeView('n', { devices: [24_000, 24_000], models: { m }, reservations });
    expect(decided([node], table)).toBe('wait n: another model is being placed there');
    const beside = nodeView('n', { devices: [24_000, 40_000], models: { m }, reservations });
    expect(decided([beside], table)).toBe('place n [0 1]');
  });

  it('counts what each device has of others that devices share', () => {
    const x = { devices: [0, 1], vramUsedMb: 20_000, devicesMb: [16_000, 4000] };
    const node = nodeView('n', {
      devices: [
        { totalMb: 24_000, freeMb: 8000 },
        { totalMb: 8000, freeMb: 4000 },
      ],
      models: { m: { ...onDisk.m, vramNeededMb: 22_000 }, x },
    });
    expect(decided([node])).toBe('place n [0] evicting x');
  });
});

describe('a model is not placed', () => {
  it.each([
    ['unreachable: unreachable: refused', { reach: 'down', downReason: 'refused', downSinceMs: 0 }],
    ['later: unreachable: refused', { reach: 'down', downReason: 'refused', downSinceMs: nowMs - 1000 }],
    ['later: not polled yet', { reach: 'unknown', polledMs: -Infinity }],
    ['unreachable: draining', { drainedFrom: 1 }],
    ['unreachable: failed requests in a row', { circuit: { kind: 'open', untilMs: nowMs + 1, openings: 1 } }],
  ] as const)('%s', (reason, facts) => {
    expect(reasons([nodeView('n', { ...facts, models: onDisk })])).toEqual([reason]);
  });

  it('where a rule of its profile or the word of the node is against it', () => {
    const table = { tables: [{ id: 'm', vram_mb: 1, pinned_on: ['b', 'c', 'd'], harness: 'ggml' }] };
    const nodes = [
      nodeView('a'),
      nodeView('b', { harnesses: ['candle'] }),
      nodeView('c', {
        models: { m: { status: 'available', servable: false, servableReason: 'unknown architecture' } },
      }),
      nodeView('d', { kind: 'upstream' }),
    ];
    expect(reasons(nodes, table)).toEqual([
      'never: pinned on b, c, d',
      'never: no harness ggml',
      'never: not servable: unknown architecture',
      'never: does not have it, and loads nothing on demand',
    ]);
  });

  it('where it could not serve the request that wants it', () => {
    const node = nodeView('n', { models: { m: { status: 'available', contextMax: 4096 } } });
    expect(reasons([node], { demand: { tokensMin: 5000 } })).toEqual(['never: context 4096 < 5000']);
    expect(reasons([node], { demand: { needsVision: true } })).toEqual(['never: no vision']);
    expect(reasons([node], { demand: { excludedNodes: new Set(['n']) } })).toEqual([
      'unreachable: has had this request already',
    ]);
  });
});

describe('a refusal', () => {
  it('is what the last load failed with, and says when to come back', () => {
    const error = new CortexError('model_load_failed', 'bad tensor');
    const coolDowns = { n: { untilMs: nowMs + 9000, error } };
    const context = contextOf([nodeView('n', { models: onDisk })], { coolDowns });
    const placement = decidePlacement(context, demandOf());
    expect(placement).toMatchObject({ kind: 'refuse', error: { code: 'model_load_failed', retryAfterSecs: 9 } });
  });

  it('names what holds the memory when nobody may be evicted', () => {
    const node = nodeView('n', { devices: [{ freeMb: 0 }], models: { ...onDisk, x: { vramUsedMb: 16_000 } } });
    const placement = decidePlacement(contextOf([node], { tables: [{ id: 'x', pinned_on: ['n'] }] }), demandOf());
    expect(placement).toMatchObject({
      kind: 'refuse',
      error: { code: 'insufficient_vram', message: "No node has the memory for 'm' (n: x is pinned)." },
    });
  });

  it('is no_healthy_node while a node that could have it is away, and model_not_found when none could', () => {
    const away = nodeView('n', { reach: 'down', models: onDisk });
    expect(decided([away, nodeView('small', { devices: [4000], models: onDisk })])).toBe('refuse no_healthy_node');
    expect(decided([nodeView('small', { devices: [4000], models: onDisk })])).toBe('refuse model_not_found');
  });
});
