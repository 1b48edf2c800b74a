/** Random orders of events, over simulated nodes that throw as soon as an effect breaks a promise of the gateway. */
import { CortexError, type ModelProfile, type Sharing } from '@cortex/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  profiles,
  simConfig,
  SimulatedFleet,
  type SimModel,
  type SimNodeSetup,
} from '../../test/fleet/simulated-fleet.ts';

const ids = ['a', 'b', 'c', 'd'] as const;
const names = ['one', 'two', 'three'] as const;

interface World {
  readonly setups: readonly SimNodeSetup[];
  readonly profiles: readonly ModelProfile[];
  readonly strategy: 'lru' | 'priority';
  readonly idleUnloadMs: number;
  /** Milliseconds, taken in turn. */
  readonly latencies: readonly number[];
}

/** Of a model of 7000 MB, or of more: unknown, in fine and in coarse pieces, with a tower. */
const sharings: readonly (Sharing | undefined)[] = [
  undefined,
  { each_mb: 500, first_mb: 0, parts: [{ name: 'columns', count: 64, mb: 90 }] },
  {
    each_mb: 200,
    first_mb: 1500,
    parts: [
      { name: 'heads', count: 4, mb: 500 },
      { name: 'columns', count: 100, mb: 30 },
    ],
  },
];

const modelArb = (id: string): fc.Arbitrary<SimModel> =>
  fc.record({
    id: fc.constant(id),
    mb: fc.constantFrom(3000, 7000, 10_000, 14_000),
    slots: fc.integer({ min: 1, max: 3 }),
    loadMs: fc.integer({ min: 10, max: 8000 }),
    sharing: fc.constantFrom(...sharings),
  });

/** Mostly free to go anywhere; some pinned, some of another class, some split over two devices. */
const profileArb = (id: string): fc.Arbitrary<object> =>
  fc.oneof(
    { weight: 5, arbitrary: fc.constant({ id }) },
    { weight: 1, arbitrary: fc.constantFrom(...names).map((name) => ({ id, pinned_on: ['one', name] })) },
    { weight: 2, arbitrary: fc.constantFrom(50, 200).map((priority) => ({ id, residency_priority: priority })) },
    { weight: 2, arbitrary: fc.constantFrom(2, 3).map((n) => ({ id, min_devices: n })) },
  );

const worldArb: fc.Arbitrary<World> = fc
  .record({
    models: fc.tuple(...ids.map((id) => modelArb(id))),
    profiles: fc.tuple(...ids.map((id) => profileArb(id))),
    devices: fc.array(fc.constantFrom([16_000], [24_000], [16_000, 16_000], [8000, 16_000], [4000, 9000, 6000]), {
      minLength: 1,
      maxLength: 3,
    }),
    strategy: fc.constantFrom('lru', 'priority'),
    idleUnloadMs: fc.constantFrom(0, 20_000),
    latencies: fc.array(fc.integer({ min: 0, max: 900 }), { minLength: 1, maxLength: 7 }),
  })
  .map(({ models, devices, profiles: tables, strategy, idleUnloadMs, latencies }) => ({
    strategy,
    idleUnloadMs,
    latencies,
    profiles: profiles(...tables),
    setups: devices.map((deviceMb, i) => ({ name: names.at(i)!, deviceMb, models })),
  }));

type Command =
  | { readonly kind: 'request'; readonly model: string; readonly client: string; readonly priority: number }
  | {
      readonly kind: 'operate';
      readonly what: 'load' | 'refuse' | 'wait';
      readonly model: string;
      readonly node: number;
    }
  | { readonly kind: 'release'; readonly which: number; readonly how: 'done' | 'client' | 'failed' | 'busy' | 'gone' }
  | { readonly kind: 'cancel'; readonly which: number }
  | { readonly kind: 'pass'; readonly ms: number }
  | {
      readonly kind: 'node';
      readonly what: 'kill' | 'revive' | 'blink' | 'drain' | 'undrain' | 'spoil' | 'repair';
      readonly node: number;
    }
  | { readonly kind: 'foreign'; readonly node: number; readonly model: string; readonly n: number };

const which = fc.nat(1000);
const model = fc.constantFrom(...ids);

const requestArb = fc.record({
  kind: fc.constant('request' as const),
  model,
  client: fc.constantFrom('x', 'y', 'z'),
  priority: fc.integer({ min: 0, max: 2 }),
});
const releaseArb = fc.record({
  kind: fc.constant('release' as const),
  which,
  how: fc.constantFrom(
    'done' as const,
    'done' as const,
    'client' as const,
    'failed' as const,
    'busy' as const,
    'gone' as const,
  ),
});
const passArb = fc.record({
  kind: fc.constant('pass' as const),
  ms: fc.constantFrom(5, 100, 1000, 4000, 9000, 20_000),
});

const commandArb: fc.Arbitrary<Command> = fc.oneof(
  { weight: 9, arbitrary: requestArb },
  { weight: 6, arbitrary: releaseArb },
  { weight: 9, arbitrary: passArb },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), which }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('operate' as const),
      what: fc.constantFrom('load' as const, 'refuse' as const, 'wait' as const),
      model,
      node: fc.nat(3),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('node' as const),
      what: fc.constantFrom(
        'kill' as const,
        'revive' as const,
        'blink' as const,
        'drain' as const,
        'undrain' as const,
        'spoil' as const,
        'repair' as const,
      ),
      node: fc.nat(2),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('foreign' as const), node: fc.nat(2), model, n: fc.nat(2) }) },
);

const newFleet = (world: World, timeoutMs: number, other: SimulatedFleet | null = null): SimulatedFleet => {
  const config = simConfig(world.setups, {
    profiles: world.profiles,
    eviction: { strategy: world.strategy, idleUnloadMs: world.idleUnloadMs },
    queue: { requestsMax: 12, timeoutMs },
  });
  let i = 0;
  const latencyMs = (): number => {
    i += 1;
    return world.latencies.at(i % world.latencies.length)!;
  };
  return new SimulatedFleet(world.setups, config, latencyMs, other);
};

const broken = new CortexError('upstream_disconnected', 'reset');
const busy = new CortexError('overloaded', 'busy');
const gone = new CortexError('model_not_found', 'gone');

const release = (fleet: SimulatedFleet, ticket: number, how: Extract<Command, { kind: 'release' }>['how']): void => {
  if (how === 'done') fleet.release(ticket);
  else if (how === 'client') fleet.release(ticket, { kind: 'client' });
  else fleet.release(ticket, { kind: 'failed', error: { failed: broken, busy, gone }[how] });
};

const touchNode = (fleet: SimulatedFleet, what: Extract<Command, { kind: 'node' }>['what'], name: string): void => {
  if (what === 'kill') fleet.kill(name);
  else if (what === 'revive') {
    if (!fleet.node(name).alive) fleet.revive(name);
  } else if (what === 'blink')
    fleet.handle({ kind: 'poll_failed', node: name, reason: 'timeout', startedMs: fleet.nowMs, unanswered: true });
  else if (what === 'spoil') fleet.node(name).failLoads = new CortexError('model_load_failed', 'spoilt');
  else if (what === 'repair') fleet.node(name).failLoads = null;
  else fleet.handle({ kind: what, node: name });
};

const obey = (fleet: SimulatedFleet, world: World, command: Command): void => {
  const nameOf = (node: number): string => world.setups.at(node % world.setups.length)!.name;
  const held = fleet.held();
  switch (command.kind) {
    case 'request':
      fleet.request(command.model, { clientId: command.client, priority: command.priority });
      return;
    case 'operate': {
      const node = command.node === 3 ? null : nameOf(command.node);
      if (command.what === 'load') fleet.load(command.model, node);
      else fleet.unload(command.model, command.what, node);
      return;
    }
    case 'release':
      if (held.length > 0) release(fleet, held.at(command.which % held.length)!, command.how);
      return;
    case 'cancel':
      if (fleet.tickets > 0) fleet.cancel((command.which % fleet.tickets) + 1);
      return;
    case 'pass':
      return fleet.run(command.ms);
    case 'node':
      return touchNode(fleet, command.what, nameOf(command.node));
    case 'foreign':
      return fleet.setForeign(nameOf(command.node), command.model, command.n);
  }
};

/** As the proxy learns it: a request that did not find its model has failed for that. */
const endRequests = (fleet: SimulatedFleet): void => {
  for (const ticket of fleet.held()) release(fleet, ticket, fleet.isRunning(ticket) ? 'done' : 'gone');
};

/** All faults end, all requests end as soon as they run. @param fleets over the same nodes */
const comeToRest = (world: World, ...fleets: readonly SimulatedFleet[]): void => {
  const noForeigners = (): void => {
    for (const { name } of world.setups) for (const id of ids) fleets[0]?.setForeign(name, id, 0);
  };
  for (const fleet of fleets)
    for (const { name } of world.setups)
      for (const what of ['revive', 'repair', 'undrain'] as const) touchNode(fleet, what, name);
  noForeigners();
  for (let i = 0; i < 400; i += 1) {
    for (const fleet of fleets) endRequests(fleet);
    fleets[0]?.run(1000);
    noForeigners();
  }
};

const expectAtRest = (fleet: SimulatedFleet): void => {
  const { data } = fleet.state;
  for (let ticket = 1; ticket <= fleet.tickets; ticket += 1)
    expect(fleet.endings.has(ticket), `ticket ${ticket} has ended`).toBe(true);
  expect([data.queue.size, data.leases.size, data.plans.size, data.operations.size, data.unloads.size]).toEqual([
    0, 0, 0, 0, 0,
  ]);
  for (const node of data.nodes.values()) {
    expect(node.reservations).toEqual([]);
    for (const record of node.models.values())
      expect([record.leases, record.operation, record.closingFor]).toEqual([0, null, null]);
  }
};

describe('the run loop, whatever happens in whatever order', () => {
  it('ends every request exactly once and gives everything back', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(worldArb, fc.array(commandArb, { minLength: 5, maxLength: 100, size: 'max' }), (world, commands) => {
        const fleet = newFleet(world, 120_000);
        for (const command of commands) obey(fleet, world, command);
        comeToRest(world, fleet);
        expectAtRest(fleet);
      }),
      { numRuns: 150 },
    );
  });

  it('does so beside another gateway over the same nodes', { timeout: 120_000 }, () => {
    const twoArb = fc.array(fc.tuple(fc.boolean(), commandArb), { minLength: 5, maxLength: 100, size: 'max' });
    fc.assert(
      fc.property(worldArb, twoArb, (world, commands) => {
        const one = newFleet(world, 120_000);
        const other = newFleet(world, 120_000, one);
        for (const [isOne, command] of commands) obey(isOne ? one : other, world, command);
        comeToRest(world, one, other);
        expectAtRest(one);
        expectAtRest(other);
      }),
      { numRuns: 60 },
    );
  });

  it('starves nobody: without faults, whoever can be served is served in bounded time', { timeout: 120_000 }, () => {
    const traffic = fc.array(fc.oneof({ weight: 3, arbitrary: requestArb }, { weight: 2, arbitrary: passArb }), {
      minLength: 20,
      maxLength: 80,
    });
    fc.assert(
      fc.property(worldArb, traffic, (world, commands) => {
        const fleet = newFleet(world, 10_000_000);
        fleet.run(3000);
        const since = new Map<number, number>();
        const waited = (): number =>
          Math.max(0, ...[...since].filter(([ticket]) => !fleet.endings.has(ticket)).map(([, ms]) => fleet.nowMs - ms));
        let longestMs = 0;
        // Requests of a second each, without a pause between them: the fleet never comes to rest by itself.
        for (let i = 0; i < 120; i += 1) {
          const command = commands.at(i % commands.length)!;
          if (command.kind === 'request') {
            obey(fleet, world, command);
            since.set(fleet.tickets, fleet.nowMs);
          }
          const running = fleet.held();
          fleet.run(1000);
          for (const ticket of running) fleet.release(ticket);
          longestMs = Math.max(longestMs, waited());
        }
        comeToRest(world, fleet);
        // Each of the four models may take its turn before it is one's own: a tenure, its load, what is under way.
        expect(longestMs).toBeLessThan(ids.length * (15_000 + 8000 + 10_000));
        const codes = [...fleet.endings.values()].flatMap((end) => (end.kind === 'reject' ? [end.error.code] : []));
        const allowed = new Set(['insufficient_vram', 'model_not_found', 'rate_limit_exceeded']);
        expect(codes.filter((code) => !allowed.has(code))).toEqual([]);
      }),
      { numRuns: 40 },
    );
  });
});
