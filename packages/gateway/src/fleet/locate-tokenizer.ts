/** Where a request's tokens are counted, and why not. Reads the fleet and changes nothing of it. */
import { CortexError } from '@cortex/core';
import { resolveIn } from '../routing/catalogue.ts';
import { pickTokenizer } from '../routing/pick-tokenizer.ts';
import { unknownModel, refuseRequest } from '../routing/refusals.ts';
import type { RouteRequest, Target } from './contract.ts';
import type { FleetData } from './fleet-data.ts';
import { mayYetAppear, targetOf } from './serve-queue.ts';

const nobody = (data: FleetData, modelId: string): CortexError => {
  const facts = { model_id: modelId };
  const isThere = data.byModel.has(modelId) || [...data.nodes.values()].some((node) => mayYetAppear(data, node));
  return isThere
    ? new CortexError('no_healthy_node', `No healthy node has the tokenizer of '${modelId}'.`, { facts })
    : new CortexError('model_not_found', `No node has the files of '${modelId}' yet.`, { param: 'model', facts });
};

/** @throws CortexError `model_not_found`, `vision_unsupported`, `no_healthy_node`. */
export const locateTokenizer = (data: FleetData, request: RouteRequest): Target => {
  const modelId = resolveIn(data.topology, request.model);
  if (modelId === null) {
    for (const node of data.nodes.values()) if (mayYetAppear(data, node)) throw nobody(data, request.model);
    throw unknownModel(data.topology, request.model);
  }
  const { needsVision, excludedNodes } = request;
  // How long it may be is what the count shall tell.
  const error = refuseRequest(data.topology, modelId, { needsVision, tokensMin: 0 });
  if (error !== null) throw error;
  const entries = data.byModel.get(modelId) ?? [];
  const picked = pickTokenizer(entries, { needsVision, excludedNodes, nowMs: data.nowMs });
  const record = entries.find((entry) => entry === picked);
  if (record === undefined) throw nobody(data, modelId);
  return targetOf(record);
};
