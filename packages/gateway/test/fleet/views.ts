/** Views of nodes and models for the pure deciders, every fact settable and harmless by default. */
import type { ModelProfile } from '@cortex/core';
import { closedCircuit } from '../../src/routing/circuit.ts';
import type { DeviceView, ModelOnNode, NodeView, Topology } from '../../src/routing/topology.ts';

export type EntryFacts = Partial<Omit<ModelOnNode, 'id' | 'node'>>;

export interface NodeFacts extends Partial<Omit<NodeView, 'name' | 'models' | 'devices'>> {
  readonly models?: Readonly<Record<string, EntryFacts>>;
  /** Megabytes of one device each, or more of its facts. */
  readonly devices?: readonly (number | Partial<DeviceView>)[];
}

const deviceView = (facts: number | Partial<DeviceView>, index: number): DeviceView => {
  const known = typeof facts === 'number' ? { totalMb: facts } : facts;
  const totalMb = known.totalMb ?? 16_000;
  const freeMb = known.freeMb ?? totalMb;
  return {
    index,
    name: 'card',
    backend: 'cuda',
    totalMb,
    usedMb: totalMb - freeMb,
    freeMb,
    utilizationPct: null,
    tempC: null,
    poisoned: false,
    poisonedReason: null,
    ...known,
  };
};

export const nodeView = (name: string, facts: NodeFacts = {}): NodeView => {
  const models = new Map<string, ModelOnNode>();
  const { models: entries = {}, devices = [16_000], ...rest } = facts;
  const node: NodeView = {
    name,
    endpoint: `http://${name}:13131`,
    kind: 'neuron',
    reach: 'up',
    silent: false,
    downSinceMs: -Infinity,
    downReason: null,
    drainedFrom: null,
    circuit: closedCircuit,
    harnesses: ['ggml'],
    polledMs: 0,
    freedMs: -Infinity,
    hostFreeMb: null,
    brokenGroups: [],
    devices: devices.map((device, i) => deviceView(device, i)),
    models,
    reservations: [],
    ...rest,
  };
  for (const [id, entry] of Object.entries(entries)) models.set(id, entryView(id, node, entry));
  return node;
};

const entryView = (id: string, node: NodeView, facts: EntryFacts): ModelOnNode => ({
  id,
  node,
  status: 'loaded',
  cold: null,
  via: [],
  operation: null,
  harness: 'ggml',
  devices: facts.status === undefined || facts.status === 'loaded' ? [0] : [],
  vramUsedMb: 0,
  devicesMb: [],
  layers: [],
  vramNeededMb: null,
  placement: null,
  sharing: null,
  offload: null,
  capabilities: ['text'],
  maySee: facts.capabilities?.includes('vision') ?? false,
  limit: null,
  contextMax: Infinity,
  toolCall: null,
  reasoning: null,
  servable: true,
  servableReason: null,
  progress: null,
  poisoned: false,
  leases: 0,
  foreign: 0,
  maxInFlight: 4,
  decodeTokS: null,
  lastUsedMs: -1_000_000,
  loadedAtMs: -1_000_000,
  closingFor: null,
  backOffUntilMs: 0,
  evictAgainMs: 0,
  doubtedMs: -Infinity,
  lastGrant: 0,
  pin: null,
  ...facts,
});

export const topologyOf = (
  nodes: readonly NodeView[],
  profiles: readonly ModelProfile[] = [],
  aliases: Readonly<Record<string, string>> = {},
): Topology => {
  const byModel = new Map<string, ModelOnNode[]>();
  for (const node of nodes)
    for (const entry of node.models.values()) {
      const entries = byModel.get(entry.id);
      if (entries === undefined) byModel.set(entry.id, [entry]);
      else entries.push(entry);
    }
  return {
    nodes: new Map(nodes.map((node) => [node.name, node])),
    byModel,
    profiles: new Map(profiles.map((profile) => [profile.id, profile])),
    aliases,
  };
};
