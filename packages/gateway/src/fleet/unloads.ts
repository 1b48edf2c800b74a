/** How unloads end, whoever wanted them: for another model's sake, for idleness, or by an operator's word. */
import { CortexError } from '@cortex/core';
import { isKnownModel, resolveIn } from '../routing/catalogue.ts';
import { unknownModel } from '../routing/refusals.ts';
import { forgetLoaded } from './apply-poll.ts';
import type { FleetEvent } from './events.ts';
import type { FleetData, ModelRecord, Operation, Plan } from './fleet-data.ts';
import { advancePlan, dropPlan, startUnload } from './plans.ts';

/** A node that is busy with a model, or failed to unload it, is not asked again before this. */
const unloadAgainMs = 2000;

const planOf = (data: FleetData, id: number): Plan | null => {
  for (const plan of data.plans.values()) if (plan.id === id) return plan;
  return null;
};

const countCycle = (data: FleetData, { node }: ModelRecord): void => {
  node.cycles += 1;
  const { defragAfterCycles } = data.config.eviction;
  if (defragAfterCycles === 0 || node.cycles < defragAfterCycles || node.defragDue) return;
  node.defragDue = true;
  data.notice({ kind: 'defrag_due', node: node.name, cycles: node.cycles });
};

const endAsked = (data: FleetData, ticket: number, node: string | null, error: CortexError | null): void => {
  const asked = data.unloads.get(ticket);
  if (asked === undefined) return;
  asked.pending -= 1;
  if (node !== null) asked.nodes.push(node);
  if (error !== null) {
    data.unloads.delete(ticket);
    data.emit({ kind: 'reject', ticket, error });
  } else if (asked.pending === 0) {
    data.unloads.delete(ticket);
    data.emit({ kind: 'unloaded', ticket, nodes: asked.nodes });
  }
};

const noticeUnloaded = (data: FleetData, { entry, purpose }: Operation): void => {
  const at = { node: entry.node.name, model: entry.id };
  if (purpose.kind === 'evict') data.notice({ kind: 'evicted', ...at, for: purpose.for });
  else if (purpose.kind === 'idle') data.notice({ kind: 'idle_unloaded', ...at, idleMs: purpose.idleMs });
  else data.notice({ kind: 'unloaded', ...at });
};

const endOperation = (data: FleetData, id: number): Operation | null => {
  const operation = data.operations.get(id);
  if (operation === undefined) return null;
  data.operations.delete(id);
  operation.entry.operation = null;
  operation.entry.closingFor = null;
  operation.entry.changedMs = data.nowMs;
  return operation;
};

export const unloaded = (data: FleetData, id: number): void => {
  const operation = endOperation(data, id);
  if (operation === null) return;
  const { entry, purpose } = operation;
  forgetLoaded(entry);
  entry.node.freedMs = data.nowMs;
  countCycle(data, entry);
  noticeUnloaded(data, operation);
  data.poll(entry.node.name);
  if (purpose.kind === 'asked') endAsked(data, purpose.ticket, entry.node.name, null);
  const plan = purpose.kind === 'evict' ? planOf(data, purpose.plan) : null;
  if (plan === null) return;
  plan.victims.set(entry, 'gone');
  advancePlan(data, plan);
};

export const unloadFailed = (data: FleetData, id: number, error: CortexError): void => {
  // What the node does not have holds no memory there.
  if (error.code === 'model_not_found' || error.code === 'not_found') return unloaded(data, id);
  const operation = endOperation(data, id);
  if (operation === null) return;
  const { entry, purpose } = operation;
  entry.evictAgainMs = data.nowMs + unloadAgainMs;
  if (error.code === 'model_busy') entry.lastUsedMs = data.nowMs;
  data.notice({ kind: 'unload_failed', node: entry.node.name, model: entry.id, error });
  if (entry.node.reach === 'up') data.poll(entry.node.name);
  if (purpose.kind === 'asked') endAsked(data, purpose.ticket, null, error);
  const plan = purpose.kind === 'evict' ? planOf(data, purpose.plan) : null;
  if (plan !== null) dropPlan(data, plan);
};

/** Copies an operator's word is about. */
const copiesOf = (data: FleetData, modelId: string, node: string | null): readonly ModelRecord[] =>
  (data.byModel.get(modelId) ?? []).filter(
    (record) =>
      record.node.kind === 'neuron' &&
      record.node.reach === 'up' &&
      record.status === 'loaded' &&
      (node === null || record.node.name === node),
  );

const heldUp = (modelId: string, { node }: ModelRecord, why: string): CortexError =>
  new CortexError('model_busy', `'${modelId}' on ${node.name} ${why}.`, {
    facts: { model_id: modelId, node: node.name },
  });

/** It is on its way, on engines that we may not tell anything, or nowhere. */
const whyNoCopy = (data: FleetData, modelId: string, node: string | null): CortexError => {
  const records = (data.byModel.get(modelId) ?? []).filter((one) => node === null || one.node.name === node);
  const loading = records.find(({ status, operation }) => status === 'loading' || operation === 'load');
  if (loading !== undefined) return heldUp(modelId, loading, 'is being loaded');
  const engines = records.filter((one) => one.node.kind === 'upstream').map((one) => one.node.name);
  const state = engines.length > 0 ? `only on ${engines.join(', ')}, which takes no orders` : 'not loaded';
  return new CortexError('model_not_found', `'${modelId}' is ${state}${node === null ? '' : ` on ${node}`}.`);
};

const refuseUnload = (
  data: FleetData,
  { name, node, mode }: Extract<FleetEvent, { kind: 'unload' }>,
  modelId: string | null,
): CortexError | null => {
  if (node !== null && !data.nodes.has(node)) return new CortexError('not_found', `There is no node '${node}'.`);
  if (modelId === null || !isKnownModel(data.topology, modelId)) return unknownModel(data.topology, name);
  const copies = copiesOf(data, modelId, node);
  const busy = copies.find((record) => record.operation !== null || record.closingFor !== null || record.leases > 0);
  const isHeld = busy !== undefined && (busy.operation !== null || busy.closingFor !== null || mode === 'refuse');
  if (isHeld) {
    const what = busy.leases > 0 ? `is serving ${busy.leases} requests` : 'is being unloaded';
    return heldUp(modelId, busy, what);
  }
  if (copies.length > 0) return null;
  return whyNoCopy(data, modelId, node);
};

/** The node ends what runs or waits for it, as `mode` says; no new request of ours goes there meanwhile. */
export const askUnload = (data: FleetData, event: Extract<FleetEvent, { kind: 'unload' }>): void => {
  const { ticket, node, mode } = event;
  const modelId = resolveIn(data.topology, event.name);
  const error = refuseUnload(data, event, modelId);
  if (error !== null || modelId === null) {
    data.emit({ kind: 'reject', ticket, error: error ?? unknownModel(data.topology, event.name) });
    return;
  }
  const copies = copiesOf(data, modelId, node);
  data.unloads.set(ticket, { ticket, nodes: [], pending: copies.length });
  for (const copy of copies) {
    copy.closingFor = modelId;
    startUnload(data, copy, { kind: 'asked', ticket }, mode);
  }
};
