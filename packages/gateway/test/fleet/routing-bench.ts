/**
 * What one routing decision costs, in microseconds: the pure choice of a node, and the whole turn of the run loop that
 * grants a request its lease and takes it back. Worst case: every node has every model loaded.
 */
import { parseArgs } from 'node:util';
import type { NodeModel } from '@cortex/core';
import type { RouteRequest } from '../../src/fleet/contract.ts';
import type { FleetEvent } from '../../src/fleet/events.ts';
import { FleetState } from '../../src/fleet/fleet-state.ts';
import { pickNode, type PickInput } from '../../src/routing/pick-node.ts';
import { simConfig } from './simulated-fleet.ts';

export interface RoutingCost {
  readonly nodes: number;
  readonly models: number;
  readonly pickUs: number;
  readonly leaseUs: number;
}

const loaded = (id: string): NodeModel => ({
  id,
  harness: 'ggml',
  status: 'loaded',
  devices: [0],
  vram_used_mb: 100,
  capabilities: ['text'],
  limit: { context: 32_768 },
  servable: { ok: true },
});

const poll = (node: string, ids: readonly string[], inFlight: number): FleetEvent => ({
  kind: 'polled',
  node,
  result: {
    startedMs: 0,
    discovery: {
      hostname: node,
      os: 'linux',
      kernel: '6',
      harnesses: ['ggml'],
      devices: [{ index: 0, name: 'card', backend: 'cuda', vram_total_mb: 80_000 }],
    },
    models: ids.map(loaded),
    health: {
      status: 'ok',
      uptime_secs: 1,
      devices: [{ index: 0, vram_used_mb: 10_000, vram_free_mb: 70_000, poisoned: false }],
      activation: { state: 'idle', loaded: [], failed: [] },
      models: ids.map((id) => ({ id, in_flight: inFlight, queue_depth: 0, max_in_flight: 64, rejected: 0 })),
    },
  },
});

/** Microseconds of one call, the best of several rounds: what disturbs only adds. */
const bestUs = (calls: number, call: (i: number) => void): number => {
  let best = Infinity;
  for (let round = 0; round < 7; round += 1) {
    const startMs = performance.now();
    for (let i = 0; i < calls; i += 1) call(i);
    best = Math.min(best, ((performance.now() - startMs) * 1000) / calls);
  }
  return best;
};

const routingCost = (nNodes: number, nModels: number): RoutingCost => {
  const ids = Array.from({ length: nModels }, (_, i) => `model-${i}`);
  const names = Array.from({ length: nNodes }, (_, i) => `node-${i}`);
  const config = simConfig(names.map((name) => ({ name, deviceMb: [], models: [] })));
  const state = new FleetState(config, () => 0);
  for (const [i, name] of names.entries()) state.handle(poll(name, ids, i % 7), 1);

  const input: PickInput = {
    needsVision: false,
    tokensMin: 2000,
    excludedNodes: new Set(),
    affinity: state.data.nodes.get('node-1') ?? null,
    arrival: 1,
    nowMs: 1,
  };
  const entries = ids.map((id) => state.data.byModel.get(id) ?? []);
  const pickUs = bestUs(2000, (i) => void pickNode(entries[i % nModels] ?? [], { ...input, arrival: i }));

  let ticket = 0;
  const leaseUs = bestUs(2000, (i) => {
    ticket += 1;
    const request: RouteRequest = {
      model: ids[i % nModels] ?? '',
      needsVision: false,
      tokensMin: 2000,
      affinityKey: `conversation ${i % 500}`,
      clientId: `client ${i % 10}`,
      priority: 0,
      excludedNodes: new Set(),
    };
    state.handle({ kind: 'acquire', ticket, request }, 2 + ticket);
    state.handle({ kind: 'release', ticket, outcome: { kind: 'client' } }, 2 + ticket);
  });
  return { nodes: nNodes, models: nModels, pickUs, leaseUs };
};

export const routingCosts = (): readonly RoutingCost[] => [10, 100, 1000].map((nodes) => routingCost(nodes, 100));

if (process.argv[1] === import.meta.filename) {
  parseArgs({});
  for (const { nodes, models, pickUs, leaseUs } of routingCosts())
    process.stdout.write(
      `${nodes} nodes x ${models} models: pick ${pickUs.toFixed(2)} us, acquire and release ${leaseUs.toFixed(2)} us\n`,
    );
}
