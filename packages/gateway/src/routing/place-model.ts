/**
 * Where a model that no usable node has is loaded. Pure: the same call decides and explains. Order of preference: whole on
 * devices before in layers of which the host has some; a node with enough free memory, one where idle models can leave, one
 * whose busy models may be drained; among equals a node that has the files, an accelerator, fewer models on the same
 * devices, more free memory.
 */
import type { ModelProfile } from '@cortex/core';
import {
  chooseEvictions,
  judgeEviction,
  type EvictionContext,
  type EvictionStrategy,
  type Incoming,
} from './choose-evictions.ts';
import { circuitAllows } from './circuit.ts';
import {
  brokenFor,
  brokenText,
  findBroken,
  fitDevices,
  freeFor,
  freeMb,
  isPremature,
  isServable,
  neverFits,
  residentsOn,
  spreadOn,
  type Fit,
} from './memory.ts';
import { residencyClass } from './residency.ts';
import type { CoolDown, ModelOnNode, NodeView } from './topology.ts';

export interface PlaceInput {
  readonly modelId: string;
  readonly profile: ModelProfile | undefined;
  readonly needsVision: boolean;
  readonly tokensMin: number;
  readonly excludedNodes: ReadonlySet<string>;
  readonly onlyNode: string | null;
  readonly arrival: number;
  readonly waitMs: number;
  /** A node lost no longer ago is worth waiting for: one lost packet must not refuse what is queued. */
  readonly downGraceMs: number;
  /** Megabytes it needs on this node; null when nobody knows. */
  readonly needMb: (node: NodeView) => number | null;
  readonly coolDown: (node: string) => CoolDown | null;
  /** It was refused there for memory that should have been free, and the node has not been looked at since. */
  readonly isDoubted: (node: string) => boolean;
  readonly eviction: EvictionContext;
}

/** What one node could do for the model. */
export type Site =
  | {
      readonly kind: 'place';
      readonly node: NodeView;
      readonly fit: Fit;
      /** Empty when it fits as things are. */
      readonly victims: readonly ModelOnNode[];
      /** Some victims are busy and must be drained first. */
      readonly drains: boolean;
      readonly reason: string;
    }
  | { readonly kind: 'later'; readonly node: NodeView; readonly reason: string }
  /** It is on its way there, by whomever: a second load would be one too many. */
  | { readonly kind: 'coming'; readonly node: NodeView; readonly reason: string }
  | { readonly kind: 'cooling'; readonly node: NodeView; readonly reason: string; readonly coolDown: CoolDown }
  /** It could be there if the node could be reached or used. */
  | { readonly kind: 'unreachable'; readonly node: NodeView; readonly reason: string }
  /** What there is out of service stays so until the node is restarted. */
  | { readonly kind: 'broken'; readonly node: NodeView; readonly reason: string }
  /** Others hold the memory and may not be evicted for it. */
  | { readonly kind: 'occupied'; readonly node: NodeView; readonly reason: string }
  | { readonly kind: 'never'; readonly node: NodeView; readonly reason: string };

export type PlaceableSite = Extract<Site, { kind: 'place' }>;

type Judged = Omit<Extract<Site, { kind: 'later' | 'coming' | 'never' | 'unreachable' | 'broken' }>, 'node'> | null;

const never = (reason: string): Judged => ({ kind: 'never', reason });
const unreachable = (reason: string): Judged => ({ kind: 'unreachable', reason });
const later = (reason: string): Judged => ({ kind: 'later', reason });

const poisonText = (node: NodeView, { devices, layers }: ModelOnNode): string => {
  const group = findBroken(node, devices, layers.length > 0);
  if (group !== null) return brokenText(group);
  const reason = node.devices.find(({ index, poisoned }) => poisoned && devices.includes(index))?.poisonedReason;
  return `device ${devices.join(', ')} is out of service until the node is restarted: ${reason ?? 'no reason given'}`;
};

/** What `models.toml` and the node's own word on the model rule out for good. */
const judgeRules = (node: NodeView, entry: ModelOnNode | undefined, input: PlaceInput): Judged => {
  const { profile } = input;
  if (input.onlyNode !== null && node.name !== input.onlyNode) return never('not the node asked for');
  if (profile !== undefined && profile.pinned_on.length > 0 && !profile.pinned_on.includes(node.name))
    return never(`pinned on ${profile.pinned_on.join(', ')}`);
  if (entry === undefined) {
    // Never seen: what it has is yet to be known.
    if (node.polledMs === -Infinity) return null;
    if (node.kind === 'upstream') return never('does not have it, and loads nothing on demand');
    if (profile === undefined) return never('does not have the model');
    if (node.reach === 'up' && !node.harnesses.includes(profile.harness)) return never(`no harness ${profile.harness}`);
    return null;
  }
  if (entry.poisoned) return { kind: 'broken', reason: poisonText(node, entry) };
  if (!isServable(profile, entry)) return never(`not servable: ${entry.servableReason ?? 'no reason given'}`);
  if (input.needsVision && !entry.maySee) return never('no vision');
  if (input.tokensMin > entry.contextMax) return never(`context ${entry.contextMax} < ${input.tokensMin}`);
  return null;
};

const judgeReach = (node: NodeView, input: PlaceInput): Judged => {
  if (input.excludedNodes.has(node.name)) return unreachable('has had this request already');
  if (node.reach === 'unknown') return later('not polled yet');
  const { nowMs } = input.eviction;
  if (node.reach === 'down') {
    const reason = `unreachable: ${node.downReason ?? 'no answer'}`;
    return nowMs - node.downSinceMs < input.downGraceMs ? later(reason) : unreachable(reason);
  }
  if (node.drainedFrom !== null && input.arrival >= node.drainedFrom) return unreachable('draining');
  if (node.silent) return later('is late with its answer to a look');
  if (circuitAllows(node.circuit, nowMs)) return null;
  const reason = 'failed requests in a row';
  return node.circuit.kind === 'open' ? unreachable(reason) : later(reason);
};

const judgeEntry = (entry: ModelOnNode | undefined): Judged => {
  if (entry === undefined) return null;
  if (entry.operation === 'load' || entry.status === 'loading') return { kind: 'coming', reason: 'model loading' };
  if (entry.operation === 'unload' || entry.status === 'unloading') return later('model unloading');
  if (entry.status !== 'loaded') return null;
  if (entry.cold !== null) return never('its own gateway loads it when it is asked for');
  return later('has it loaded, and makes room for another');
};

const withEvictions = (node: NodeView, incoming: Incoming, context: EvictionContext): Site => {
  if (node.polledMs < node.freedMs) return { kind: 'later', node, reason: 'its free memory is being looked at' };
  const now: ModelOnNode[] = [];
  const drain: ModelOnNode[] = [];
  const waits: string[] = [];
  const refused: string[] = [];
  const movable: ModelOnNode[] = [];
  for (const resident of node.models.values()) {
    if (resident.status === 'available' || resident.status === 'failed' || resident.poisoned) continue;
    const verdict = judgeEviction(resident, incoming, context);
    if (verdict.kind === 'never') refused.push(verdict.reason);
    else movable.push(resident);
    if (verdict.kind === 'now') now.push(resident);
    if (verdict.kind === 'drain') drain.push(resident);
    if (verdict.kind === 'later') waits.push(verdict.reason);
  }
  for (const candidates of [now, [...now, ...drain]]) {
    const eviction = chooseEvictions(node, incoming, candidates, context);
    if (eviction === null) continue;
    const drains = eviction.victims.some((victim) => drain.includes(victim));
    const names = eviction.victims.map((victim) => victim.id).join(', ');
    return { kind: 'place', node, ...eviction, drains, reason: `${drains ? 'drains and evicts' : 'evicts'} ${names}` };
  }
  // How much a model that is still loading holds is only known once it is loaded.
  const isUnsure = movable.some((resident) => resident.status === 'loading');
  if (waits.length > 0 && (isUnsure || chooseEvictions(node, incoming, movable, context) !== null))
    return { kind: 'later', node, reason: waits.join('; ') };
  if (node.reservations.length > 0) return { kind: 'later', node, reason: 'another model is being placed there' };
  return { kind: 'occupied', node, reason: refused.join('; ') || 'memory is held by others' };
};

/** What one node could do for it. */
export const judgeSite = (node: NodeView, input: PlaceInput): Site => {
  const entry = node.models.get(input.modelId);
  const needMb = input.needMb(node) ?? 0;
  const judged = judgeRules(node, entry, input) ?? judgeReach(node, input) ?? judgeEntry(entry);
  if (judged !== null) return { ...judged, node };
  const coolDown = input.coolDown(node.name);
  if (coolDown !== null) {
    const secs = Math.ceil((coolDown.untilMs - input.eviction.nowMs) / 1000);
    const reason = `loading it failed (${coolDown.error.message}), tried again in ${secs} s`;
    return { kind: 'cooling', node, reason, coolDown };
  }
  if (input.isDoubted(node.name)) return { kind: 'later', node, reason: 'refused it for memory, is being looked at' };
  const spread = spreadOn(node, input.profile, entry, needMb);
  const tooSmall = neverFits(node, spread, needMb);
  if (tooSmall !== null) {
    const broken = brokenFor(node, spread, needMb);
    return broken === null ? { kind: 'never', node, reason: tooSmall } : { kind: 'broken', node, reason: broken };
  }
  const fit = fitDevices(node, spread, needMb, freeFor(node, spread));
  if (fit === null)
    return withEvictions(node, { profile: input.profile, spread, needMb, waitMs: input.waitMs }, input.eviction);
  if (isPremature(node, fit)) return { kind: 'later', node, reason: 'another model is being placed there' };
  return { kind: 'place', node, fit, victims: [], drains: false, reason: fitText(fit, needMb) };
};

const fitText = ({ devices, mb, isByLayers }: Fit, needMb: number): string => {
  const where = `device ${devices.join(', ')}`;
  if (isByLayers) return `no device holds ${needMb} MB: layers on ${where} and in the host's memory`;
  const allMb = Math.ceil(mb.reduce((sum, one) => sum + one, 0));
  if (allMb === 0) return `has room on ${where}`;
  const shares = devices.length === 1 ? '' : ` (${mb.map(Math.ceil).join(' + ')})`;
  return `${allMb} MB fit on ${where}${shares}`;
};

/** Lower is better, compared member by member. */
const cost = (site: PlaceableSite, input: PlaceInput): readonly number[] => {
  const { node, fit, victims } = site;
  const { nowMs, profileOf, policy } = input.eviction;
  const strategyCost: Record<EvictionStrategy, () => number> = {
    lru: () => 0,
    priority: () => Math.max(...victims.map((victim) => residencyClass(profileOf(victim.id)))),
  };
  const devices = node.devices.filter((device) => fit.devices.includes(device.index));
  const files = node.models.has(input.modelId) ? 0 : 1;
  return [
    // Where devices hold it whole, it is faster.
    fit.isByLayers ? 1 : 0,
    victims.length === 0 ? 0 : site.drains ? 2 : 1,
    node.drainedFrom === null ? 0 : 1,
    ...(victims.length === 0
      ? [files]
      : [
          strategyCost[policy.strategy](),
          -Math.min(...victims.map((victim) => nowMs - victim.lastUsedMs)),
          victims.length,
          files,
        ]),
    devices.some((device) => device.backend === 'cpu') ? 1 : 0,
    fit.devices.reduce((sum, device) => sum + residentsOn(node, device), 0),
    -Math.min(...devices.map((device) => freeMb(node, device))),
  ];
};

const isCheaper = (a: readonly number[], b: readonly number[]): boolean => {
  for (const [i, value] of a.entries()) {
    const other = b[i] ?? 0;
    if (value !== other) return value < other;
  }
  return false;
};

/** The best of the sites that can take it; null when none can now. */
export const bestSite = (sites: readonly Site[], input: PlaceInput): PlaceableSite | null => {
  let best: PlaceableSite | null = null;
  let bestCost: readonly number[] = [];
  for (const site of sites) {
    if (site.kind !== 'place') continue;
    const siteCost = cost(site, input);
    if (best === null || isCheaper(siteCost, bestCost)) {
      best = site;
      bestCost = siteCost;
    }
  }
  return best;
};
