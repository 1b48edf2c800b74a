/**
 * Which models leave a node so that another fits. Pure. The set is minimal: none of its members could stay. Its most
 * valuable member is the least valuable possible, value being recency of use (`lru`) or class and then recency
 * (`priority`).
 */
import type { ModelProfile } from '@cortex/core';
import { fitDevices, freeFor, heldMb, type Fit, type Spread } from './memory.ts';
import { isPinned, mayDisplace, residencyClass } from './residency.ts';
import type { ModelOnNode, NodeView } from './topology.ts';

export type EvictionStrategy = 'lru' | 'priority';

export interface EvictionPolicy {
  readonly strategy: EvictionStrategy;
  /** A model used this recently is somebody's next request: only a long wait takes its place. */
  readonly lingerMs: number;
  /** After so long a wait a busy model is closed to new requests, drained and evicted. */
  readonly swapAfterMs: number;
}

export interface Incoming {
  readonly profile: ModelProfile | undefined;
  readonly spread: Spread;
  readonly needMb: number;
  /** How long its oldest request has waited. */
  readonly waitMs: number;
}

export interface EvictionContext {
  readonly policy: EvictionPolicy;
  readonly nowMs: number;
  readonly profileOf: (modelId: string) => ModelProfile | undefined;
  /** Requests for it wait in the queue. */
  readonly isWanted: (modelId: string) => boolean;
  /** What its last load took, or null: it may stay at least that long once loaded. */
  readonly loadMs: (modelId: string) => number | null;
}

export type Evictability =
  | { readonly kind: 'now' }
  /** Once it is closed to new requests and those running have ended. */
  | { readonly kind: 'drain' }
  | { readonly kind: 'later'; readonly reason: string }
  | { readonly kind: 'never'; readonly reason: string };

/** Never a model that is loading, leased or busy; a pinned one or one of a higher class not at any time. */
export const judgeEviction = (resident: ModelOnNode, incoming: Incoming, context: EvictionContext): Evictability => {
  const profile = context.profileOf(resident.id);
  const { policy, nowMs } = context;
  if (isPinned(profile, resident)) return { kind: 'never', reason: `${resident.id} is pinned` };
  if (!mayDisplace(incoming.profile, profile))
    return {
      kind: 'never',
      reason: `${resident.id} has residency_priority ${residencyClass(profile)} > ${residencyClass(incoming.profile)}`,
    };
  if (resident.status !== 'loaded' || resident.operation !== null)
    return { kind: 'later', reason: `${resident.id} is ${resident.operation === 'unload' ? 'unloading' : 'loading'}` };
  if (resident.closingFor !== null) return { kind: 'later', reason: `${resident.id} is on its way out` };
  if (resident.evictAgainMs > nowMs) return { kind: 'later', reason: `${resident.id} is busy for another gateway` };

  const busy = resident.leases + resident.foreign;
  const hot = nowMs - resident.lastUsedMs < policy.lingerMs || context.isWanted(resident.id);
  if (busy === 0 && !hot) return { kind: 'now' };
  const tenureMs = Math.max(policy.swapAfterMs, context.loadMs(resident.id) ?? 0);
  if (incoming.waitMs >= policy.swapAfterMs && nowMs - resident.loadedAtMs >= tenureMs) return { kind: 'drain' };
  return { kind: 'later', reason: `${resident.id} is ${busy > 0 ? `serving ${busy}` : 'in use'}` };
};

const leastValuableFirst =
  ({ policy, profileOf }: EvictionContext) =>
  (a: ModelOnNode, b: ModelOnNode): number => {
    const byClass = policy.strategy === 'lru' ? 0 : residencyClass(profileOf(a.id)) - residencyClass(profileOf(b.id));
    return byClass || a.lastUsedMs - b.lastUsedMs || a.id.localeCompare(b.id);
  };

/**
 * Devices that another load has reservations on are left out: what it takes and what is freed for it are still
 * changing there, and evicting on such numbers would evict too much.
 */
const fitWithout = (node: NodeView, incoming: Incoming, gone: readonly ModelOnNode[]): Fit | null =>
  fitDevices(node, incoming.spread, incoming.needMb, (device) => {
    const index = device === null ? null : device.index;
    if (index !== null && node.reservations.some(({ devices }) => devices.includes(index))) return -Infinity;
    let free = freeFor(node, incoming.spread)(device);
    for (const model of gone) free += heldMb(model, index);
    return free;
  });

export interface Eviction {
  readonly victims: readonly ModelOnNode[];
  readonly fit: Fit;
}

/** @param candidates models that may leave; null when it would not fit even without all of them */
export const chooseEvictions = (
  node: NodeView,
  incoming: Incoming,
  candidates: readonly ModelOnNode[],
  context: EvictionContext,
): Eviction | null => {
  const ordered = candidates.toSorted(leastValuableFirst(context));
  let n = 0;
  let fit = fitWithout(node, incoming, []);
  while (fit === null && n < ordered.length) {
    n += 1;
    fit = fitWithout(node, incoming, ordered.slice(0, n));
  }
  if (fit === null) return null;
  let victims = ordered.slice(0, n);
  // The most valuable first: whoever need not go after all, stays.
  for (const spared of victims.toReversed()) {
    const rest = victims.filter((victim) => victim !== spared);
    const without = fitWithout(node, incoming, rest);
    if (without === null) continue;
    victims = rest;
    fit = without;
  }
  return { victims, fit };
};
