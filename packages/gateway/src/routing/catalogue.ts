/**
 * The models of the fleet as clients see them: loaded anywhere, or loadable somewhere (a table in `models.toml` or files
 * on the node, and devices, memory and `pinned_on` allow it), and the aliases of those. Nothing here asks a node anything.
 */
import type { CatalogueModel, Limit, ModelProfile, ModelState } from '@cortex/core';
import { isServable, neverFits, spreadOn } from './memory.ts';
import { resolveModel } from './resolve-model.ts';
import type { ModelOnNode, NodeView, Topology } from './topology.ts';

const stateOf = (entry: ModelOnNode): ModelState => {
  if (entry.cold !== null) return entry.cold;
  if (entry.operation === 'load' || entry.status === 'loading') return 'loading';
  return entry.status === 'loaded' && entry.operation === null && !entry.poisoned ? 'loaded' : 'available';
};

/** Could this node, empty, load it by `models.toml`? Without a table there, only from files that it has. */
const isFeasible = (node: NodeView, profile: ModelProfile | undefined, entry: ModelOnNode | undefined): boolean => {
  if (node.kind !== 'neuron' || node.reach !== 'up') return false;
  const pinnedOn = profile?.pinned_on ?? [];
  if (pinnedOn.length > 0 && !pinnedOn.includes(node.name)) return false;
  const isAble = entry === undefined ? profile && node.harnesses.includes(profile.harness) : !entry.poisoned;
  const needMb = entry?.vramNeededMb ?? profile?.vram_mb ?? 0;
  return isAble === true && neverFits(node, spreadOn(node, profile, entry, needMb), needMb) === null;
};

const rank: Record<ModelState, number> = { loaded: 0, loading: 1, available: 2 };

/** By code units: a thousand nodes are sorted here, and no locale is needed for it. */
const byName = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** It is loaded there, on its way, or may be loaded, and is reached through none of those who ask. */
const counts = (entry: ModelOnNode, profile: ModelProfile | undefined, asking: ReadonlySet<string>): boolean =>
  entry.node.reach === 'up' &&
  isServable(profile, entry) &&
  !entry.via.some((gateway) => asking.has(gateway)) &&
  (stateOf(entry) !== 'available' || entry.cold !== null || isFeasible(entry.node, profile, entry));

type Place = CatalogueModel['nodes'][number];

const placesOf = (topology: Topology, id: string, entries: readonly ModelOnNode[]): readonly Place[] => {
  const places = entries.map((entry): Place => {
    const state = stateOf(entry);
    return { name: entry.node.name, state, devices: state === 'available' ? [] : entry.devices };
  });
  const profile = topology.profiles.get(id);
  if (profile !== undefined)
    for (const node of topology.nodes.values())
      if (!node.models.has(id) && isFeasible(node, profile, undefined))
        places.push({ name: node.name, state: 'available', devices: [] });
  return places.toSorted((a, b) => rank[a.state] - rank[b.state] || byName(a.name, b.name));
};

const firstKnown = <T>(entries: readonly ModelOnNode[], read: (entry: ModelOnNode) => T | null): T | null => {
  for (const entry of entries) {
    const value = read(entry);
    if (value !== null) return value;
  }
  return null;
};

/** What the nodes say, in the order of states: a loaded model's word stands over that of files on disk. */
const capabilitiesOf = (entries: readonly ModelOnNode[], profile: ModelProfile | undefined): readonly string[] => {
  const best = entries[0];
  if (best === undefined) return profile?.capabilities ?? [];
  const peers = entries.filter((entry) => stateOf(entry) === stateOf(best));
  return [...new Set(peers.flatMap((entry) => entry.capabilities ?? []))];
};

const nobody: ReadonlySet<string> = new Set();

/** The best copy first; of equal ones that with the fewest gateways in between. */
const isBefore = (a: ModelOnNode, b: ModelOnNode): number =>
  rank[stateOf(a)] - rank[stateOf(b)] || a.via.length - b.via.length || byName(a.node.name, b.node.name);

/** Null when no reachable node has it loaded or could load it. */
export const describeModel = (topology: Topology, id: string, asking = nobody): CatalogueModel | null => {
  const profile = topology.profiles.get(id);
  const entries = (topology.byModel.get(id) ?? []).filter((entry) => counts(entry, profile, asking)).toSorted(isBefore);
  const nodes = placesOf(topology, id, entries);
  const first = nodes[0];
  if (first === undefined) return null;
  const progress = first.state === 'loading' ? firstKnown(entries, (entry) => entry.progress) : null;
  return {
    id,
    alias_of: null,
    state: first.state,
    capabilities: capabilitiesOf(entries, profile),
    limit: firstKnown(entries, (entry) => entry.limit) ?? profileLimit(profile),
    cost: profile?.cost ?? null,
    tool_call: firstKnown(entries, (entry) => entry.toolCall),
    reasoning: firstKnown(entries, (entry) => entry.reasoning),
    harness: firstKnown(entries, (entry) => entry.harness) ?? profile?.harness ?? null,
    quant: profile?.quant ?? null,
    nodes,
    // One way, as it is: a list of all could name a gateway that none of them needs, and hide who lives on whom.
    via: entries[0]?.via ?? [],
    progress:
      progress === null ? null : { fraction: progress.fraction, phase: progress.phase, eta_secs: progress.etaSecs },
  };
};

export const profileLimit = (profile: ModelProfile | undefined): Limit | null => profile?.limit ?? null;

/** A model somebody wrote down or some node (also one that is away) has. */
export const isKnownModel = (topology: Topology, id: string): boolean =>
  topology.profiles.has(id) || topology.byModel.has(id);

export const resolveIn = (topology: Topology, name: string): string | null =>
  resolveModel(topology.aliases, (id) => isKnownModel(topology, id), name);

const allIds = (topology: Topology): readonly string[] => [
  ...new Set([...topology.byModel.keys(), ...topology.profiles.keys()]),
];

const isListed = (topology: Topology, id: string): boolean => {
  const profile = topology.profiles.get(id);
  if (topology.byModel.get(id)?.some((entry) => counts(entry, profile, nobody)) === true) return true;
  if (profile === undefined) return false;
  for (const node of topology.nodes.values())
    if (!node.models.has(id) && isFeasible(node, profile, undefined)) return true;
  return false;
};

const listedAliases = (topology: Topology): readonly string[] =>
  Object.keys(topology.aliases).filter((name) => !name.includes('*'));

/** The ids of `listModels` by name, aliases last, without what a description of each would cost. */
export const listNames = (topology: Topology): readonly string[] => {
  const ids = new Set(allIds(topology).filter((id) => isListed(topology, id)));
  const aliases = listedAliases(topology).filter((name) => ids.has(resolveIn(topology, name) ?? ''));
  for (const alias of aliases) ids.delete(alias);
  return [...[...ids].toSorted(byName), ...aliases];
};

/** Loaded ones first, then by id; aliases after the models. Globs are rules, not names, and are not listed. */
export const listModels = (topology: Topology, asking = nobody): readonly CatalogueModel[] => {
  const models = allIds(topology)
    .map((id) => describeModel(topology, id, asking))
    .filter((model) => model !== null)
    .toSorted((a, b) => rank[a.state] - rank[b.state] || byName(a.id, b.id));
  const byId = new Map(models.map((model) => [model.id, model]));
  const aliases = listedAliases(topology).flatMap((name) => {
    const id = resolveIn(topology, name);
    const model = id === null ? undefined : byId.get(id);
    return model === undefined ? [] : [{ ...model, id: name, alias_of: model.id }];
  });
  const shadowed = new Set(aliases.map((alias) => alias.id));
  return [...models.filter((model) => !shadowed.has(model.id)), ...aliases];
};
