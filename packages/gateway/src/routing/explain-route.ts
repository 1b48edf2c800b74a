/** The decision of a request in words: the same deciders over the same view, and nothing done. */
import type { Candidate, CortexError, RouteExplanation } from '@cortex/core';
import { decidePlacement, siteJudge, type Demand, type PlacementContext } from './decide-placement.ts';
import { describeVerdict, judge, pickNode, type Pick, type PickInput } from './pick-node.ts';
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

const explainPlacement = (context: PlacementContext, demand: Demand): Explained => {
  const placement = decidePlacement(context, demand);
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

const explainPick = (pick: Pick, context: PlacementContext, demand: Demand): Explained => {
  if (pick.kind === 'absent') return explainPlacement(context, demand);
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
  const pick = pickNode(topology.byModel.get(demand.modelId) ?? [], input);
  const explained = refusal === null ? explainPick(pick, context, demand) : refused(refusal);

  let siteOf: ReturnType<typeof siteJudge> | null = null;

  const candidate = (node: NodeView): Candidate => {
    const entry = node.models.get(demand.modelId);
    const isLoaded = entry?.status === 'loaded' && entry.operation === null;
    const verdict = entry === undefined || !isLoaded ? null : judge(entry, input);
    // Of a node that has it loaded, nobody asks whether it could load it.
    const site = verdict === null ? (siteOf ??= siteJudge(context, demand))(node) : null;
    const able = site === null ? verdict === 'eligible' : pick.kind === 'absent' && site.kind === 'place';
    return {
      node: node.name,
      verdict: node.name === explained.chosen ? 'chosen' : able ? 'eligible' : 'rejected',
      reason:
        entry !== undefined && verdict !== null
          ? describeVerdict(entry, verdict, input)
          : `model not loaded; ${site?.reason ?? ''}`,
    };
  };
  const candidates = Array.from(topology.nodes.values(), candidate);
  return { model, resolvedModel: demand.modelId, ...explained, candidates };
};
