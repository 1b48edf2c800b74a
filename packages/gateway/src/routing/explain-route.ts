/** The decision of a request in words: the same deciders over the same view, and nothing done. */
import type { Candidate, CortexError, RouteExplanation } from '@cortex/core';
import { decidePlacement, judgeSites, type Demand, type PlacementContext } from './decide-placement.ts';
import { describeVerdict, judge, pickNode, type Pick, type PickInput } from './pick-node.ts';
import type { Site } from './place-model.ts';
import type { NodeView } from './topology.ts';

type Explained = Omit<RouteExplanation, 'model' | 'resolvedModel' | 'candidates'>;

const refused = ({ code, message }: CortexError): Explained => ({
  action: 'refuse',
  chosen: null,
  evictions: [],
  error: { code, message },
});

/** No node is a candidate for what is no model. */
export const explainUnknown = (model: string, error: CortexError): RouteExplanation => ({
  model,
  resolvedModel: null,
  ...refused(error),
  candidates: [],
});

const explainPlacement = (context: PlacementContext, demand: Demand, sites: readonly Site[]): Explained => {
  const placement = decidePlacement(context, demand, sites);
  const nothing = { chosen: null, evictions: [], error: null };
  if (placement.kind === 'wait') return { ...nothing, action: 'wait' };
  if (placement.kind === 'refuse') return refused(placement.error);
  const { node, victims, drains } = placement.site;
  const reason = drains
    ? `${demand.modelId} has waited ${Math.round(demand.waitMs / 1000)} s`
    : `makes room for ${demand.modelId}`;
  return {
    ...nothing,
    action: victims.length === 0 ? 'load' : 'evict_and_load',
    chosen: node.name,
    evictions: victims.map((victim) => ({ node: node.name, model: victim.id, reason })),
  };
};

const explainPick = (pick: Pick, context: PlacementContext, demand: Demand, sites: readonly Site[]): Explained => {
  if (pick.kind === 'absent') return explainPlacement(context, demand, sites);
  const nothing = { evictions: [], error: null };
  return pick.kind === 'chosen'
    ? { ...nothing, action: 'forward', chosen: pick.entry.node.name }
    : { ...nothing, action: 'wait', chosen: null };
};

/** @param refusal what stands against it whatever the nodes are doing, or null */
export const explainRoute = (
  context: PlacementContext,
  model: string,
  demand: Demand,
  refusal: CortexError | null = null,
): RouteExplanation => {
  const { topology, eviction } = context;
  const input: PickInput = { ...demand, nowMs: eviction.nowMs };
  const sites = judgeSites(context, demand);
  const pick = pickNode(topology.byModel.get(demand.modelId) ?? [], input);
  const explained = refusal === null ? explainPick(pick, context, demand, sites) : refused(refusal);

  const candidate = (node: NodeView, site: Site | undefined): Candidate => {
    const entry = node.models.get(demand.modelId);
    const isLoaded = entry?.status === 'loaded' && entry.operation === null;
    const verdict = entry === undefined || !isLoaded ? null : judge(entry, input);
    const able = verdict === null ? pick.kind === 'absent' && site?.kind === 'place' : verdict === 'eligible';
    return {
      node: node.name,
      verdict: node.name === explained.chosen ? 'chosen' : able ? 'eligible' : 'rejected',
      reason:
        entry !== undefined && verdict !== null
          ? describeVerdict(entry, verdict, input)
          : `model not loaded; ${site?.reason ?? 'no such node'}`,
    };
  };
  const candidates = [...topology.nodes.values()].map((node, i) => candidate(node, sites[i]));
  return { model, resolvedModel: demand.modelId, ...explained, candidates };
};
