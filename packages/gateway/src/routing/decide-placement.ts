/** One demand for a model against the whole fleet: place it, wait, or refuse it and say why. Pure. */
import type { CortexError } from '@cortex/core';
import type { EvictionContext } from './choose-evictions.ts';
import type { PickInput } from './pick-node.ts';
import { bestSite, judgeSite, type PlaceableSite, type PlaceInput, type Site } from './place-model.ts';
import { refusePlacement } from './refusals.ts';
import type { CoolDown, NodeView, Topology } from './topology.ts';

/** What waits for a model: one request, or an operator's wish to have it loaded. */
export interface Demand extends Omit<PickInput, 'nowMs'> {
  readonly modelId: string;
  readonly waitMs: number;
  readonly onlyNode: string | null;
}

export interface PlacementContext {
  readonly topology: Topology;
  readonly needMb: (modelId: string, node: NodeView) => number | null;
  readonly coolDown: (modelId: string, node: string) => CoolDown | null;
  readonly isDoubted: (modelId: string, node: string) => boolean;
  readonly downGraceMs: number;
  readonly eviction: EvictionContext;
}

export type Placement =
  | { readonly kind: 'place'; readonly site: PlaceableSite }
  | { readonly kind: 'wait'; readonly reason: string }
  | { readonly kind: 'refuse'; readonly error: CortexError };

const placeInput = (context: PlacementContext, demand: Demand): PlaceInput => ({
  modelId: demand.modelId,
  profile: context.topology.profiles.get(demand.modelId),
  needsVision: demand.needsVision,
  tokensMin: demand.tokensMin,
  excludedNodes: demand.excludedNodes,
  onlyNode: demand.onlyNode,
  arrival: demand.arrival,
  waitMs: demand.waitMs,
  downGraceMs: context.downGraceMs,
  needMb: (node) => context.needMb(demand.modelId, node),
  coolDown: (node) => context.coolDown(demand.modelId, node),
  isDoubted: (node) => context.isDoubted(demand.modelId, node),
  eviction: context.eviction,
});

/** What a node answers to the demand. */
export const siteJudge = (context: PlacementContext, demand: Demand): ((node: NodeView) => Site) => {
  const input = placeInput(context, demand);
  return (node) => judgeSite(node, input);
};

/** Every node's answer, in the order of the configuration. */
export const judgeSites = (context: PlacementContext, demand: Demand): readonly Site[] =>
  Array.from(context.topology.nodes.values(), siteJudge(context, demand));

export const decidePlacement = (
  context: PlacementContext,
  demand: Demand,
  sites: readonly Site[] = judgeSites(context, demand),
): Placement => {
  const coming = sites.find((one) => one.kind === 'coming');
  if (coming !== undefined) return { kind: 'wait', reason: `${coming.node.name}: ${coming.reason}` };
  const site = bestSite(sites, placeInput(context, demand));
  if (site !== null) return { kind: 'place', site };
  const later = sites.find((one) => one.kind === 'later');
  if (later !== undefined) return { kind: 'wait', reason: `${later.node.name}: ${later.reason}` };
  const error = refusePlacement(context.topology, demand.modelId, sites, context.eviction.nowMs);
  return { kind: 'refuse', error };
};
