/**
 * Who waits gets a slot, a load, or an answer why not. Grants come first, so a model that has just been loaded serves
 * its whole batch before anybody may take its place; loads are decided for the longest wait first.
 */
import type { CortexError } from '@cortex/core';
import { resolveIn } from '../routing/catalogue.ts';
import { circuitAllows, circuitGranted } from '../routing/circuit.ts';
import { decidePlacement, type Demand } from '../routing/decide-placement.ts';
import { isLeftAlone, pickNode, type Pick } from '../routing/pick-node.ts';
import { unknownModel, refuseRequest } from '../routing/refusals.ts';
import type { Target } from './contract.ts';
import type { FleetData, ModelRecord, NodeRecord, Plan } from './fleet-data.ts';
import { dropPlan, startPlan } from './plans.ts';
import type { Waiter } from './request-queue.ts';

const demandOf = (data: FleetData, waiter: Waiter): Demand => ({
  modelId: waiter.modelId,
  needsVision: waiter.needsVision,
  tokensMin: waiter.tokensMin,
  excludedNodes: waiter.excludedNodes,
  affinity: data.affinity(waiter.modelId, waiter.affinityKey),
  arrival: waiter.ticket,
  waitMs: data.nowMs - waiter.enqueuedMs,
  onlyNode: waiter.onlyNode,
});

const noRecords: readonly ModelRecord[] = [];

const recordsOf = (data: FleetData, modelId: string): readonly ModelRecord[] => data.byModel.get(modelId) ?? noRecords;

const pick = (data: FleetData, waiter: Waiter): Pick =>
  pickNode(recordsOf(data, waiter.modelId), {
    needsVision: waiter.needsVision,
    tokensMin: waiter.tokensMin,
    excludedNodes: waiter.excludedNodes,
    affinity: data.affinity(waiter.modelId, waiter.affinityKey),
    arrival: waiter.ticket,
    nowMs: data.nowMs,
  });

export const targetOf = ({ id, node }: ModelRecord): Target => {
  const { token } = node.config;
  return {
    node: node.name,
    endpoint: node.endpoint,
    kind: node.kind,
    modelId: id,
    ...(token === undefined ? {} : { token }),
  };
};

const grant = (data: FleetData, waiter: Waiter, record: ModelRecord): void => {
  const { node } = record;
  record.leases += 1;
  record.leasePeak = Math.max(record.leasePeak, record.leases);
  record.lastUsedMs = data.nowMs;
  record.lastGrant = data.nextId();
  node.circuit = circuitGranted(node.circuit, data.config.circuit, data.nowMs);
  data.rememberAffinity(record.id, waiter.affinityKey, node);
  data.leases.set(waiter.ticket, { entry: record, clientId: waiter.clientId });
  data.queue.served(waiter.clientId, data.nowMs);
  const waitedMs = data.nowMs - waiter.enqueuedMs;
  data.emit({
    kind: 'grant',
    ticket: waiter.ticket,
    grant: {
      target: targetOf(record),
      coldStart: waiter.coldStart,
      queueMs: Math.max(0, waitedMs - waiter.loadMs),
      loadMs: waiter.loadMs,
    },
  });
};

const reject = (data: FleetData, waiter: Waiter, error: CortexError): void => {
  data.queue.remove(waiter);
  data.emit({ kind: 'reject', ticket: waiter.ticket, error });
};

/** A slot right now, without a place in the queue. @returns whether it was granted */
export const serveAtOnce = (data: FleetData, waiter: Waiter): boolean => {
  const picked = pick(data, waiter);
  if (picked.kind !== 'chosen') return false;
  const record = data.nodes.get(picked.entry.node.name)?.models.get(picked.entry.id);
  if (record === undefined) return false;
  grant(data, waiter, record);
  return true;
};

/** Somebody, whoever it is, could be granted a slot of it. */
const hasFreeSlot = (data: FleetData, modelId: string): boolean => {
  for (const record of recordsOf(data, modelId)) {
    const isOpen = record.status === 'loaded' && record.operation === null && record.closingFor === null;
    if (!isOpen || record.leases >= record.maxInFlight || isLeftAlone(record, data.nowMs)) continue;
    const { reach, silent, circuit } = record.node;
    if (reach === 'up' && !silent && circuitAllows(circuit, data.nowMs)) return true;
  }
  return false;
};

const loadedWhereWanted = (data: FleetData, waiter: Waiter): string | null => {
  for (const record of recordsOf(data, waiter.modelId)) {
    const { node, status, operation, closingFor } = record;
    if (record.cold !== null) continue;
    if (waiter.onlyNode !== null && node.name !== waiter.onlyNode) continue;
    if (node.reach === 'up' && status === 'loaded' && operation === null && closingFor === null) return node.name;
  }
  return null;
};

const serveLoads = (data: FleetData, modelId: string): void => {
  for (const waiter of data.queue.of(modelId)) {
    if (waiter.purpose !== 'load') continue;
    const node = loadedWhereWanted(data, waiter);
    if (node === null) continue;
    data.queue.remove(waiter);
    data.emit({ kind: 'loaded', ticket: waiter.ticket, node });
  }
};

const serveModel = (data: FleetData, modelId: string): void => {
  serveLoads(data, modelId);
  const skip = new Set<Waiter>();
  while (hasFreeSlot(data, modelId)) {
    const waiter = data.queue.next(modelId, data.nowMs, skip);
    if (waiter === null) return;
    if (serveAtOnce(data, waiter)) data.queue.remove(waiter);
    else skip.add(waiter);
  }
};

/** Waiters with the same key are placed alike: the same demand, admitted by the same draining nodes. */
const placementKey = (waiter: Waiter, draining: readonly NodeRecord[]): string => {
  let key = `${waiter.purpose} ${waiter.needsVision} ${waiter.onlyNode ?? ''}`;
  for (const name of waiter.excludedNodes) key += ` -${name}`;
  for (const { name, drainedFrom } of draining)
    if (drainedFrom !== null && waiter.ticket < drainedFrom) key += ` +${name}`;
  return key;
};

const placeModel = (data: FleetData, modelId: string, draining: readonly NodeRecord[]): void => {
  const decided = new Set<string>();
  for (const waiter of data.queue.of(modelId)) {
    if (data.plans.has(modelId)) return;
    const key = placementKey(waiter, draining);
    if (decided.has(key)) continue;
    const placement =
      waiter.purpose === 'request' && pick(data, waiter).kind !== 'absent'
        ? null
        : decidePlacement(data.placementContext(), demandOf(data, waiter));
    if (placement?.kind === 'place') startPlan(data, modelId, placement.site);
    else if (placement?.kind === 'refuse') reject(data, waiter, placement.error);
    else decided.add(key);
  }
};

const drainingNodes = (data: FleetData): readonly NodeRecord[] =>
  [...data.nodes.values()].filter((node) => node.drainedFrom !== null);

/** Every grant that is possible now. */
export const serveWaiting = (data: FleetData): void => {
  for (const modelId of data.queue.models(data.nowMs)) serveModel(data, modelId);
};

/** Every grant, then every load. */
export const serveAndPlace = (data: FleetData): void => {
  serveWaiting(data);
  if (data.queue.size === 0) return;
  const draining = drainingNodes(data);
  for (const modelId of data.queue.models(data.nowMs)) placeModel(data, modelId, draining);
};

/** A place to be drained for it may have become needless: another may be free by now. */
export const reconsiderDrain = (data: FleetData, plan: Plan): void => {
  if (plan.phase !== 'draining') return;
  for (const state of plan.victims.values()) if (state !== 'draining') return;
  dropPlan(data, plan);
  placeModel(data, plan.modelId, drainingNodes(data));
};

/** Never seen, and not lost for good: the gateway has just been started. */
export const mayYetAppear = (data: FleetData, { polledMs, reach, downSinceMs }: NodeRecord): boolean =>
  polledMs === -Infinity && (reach === 'unknown' || data.nowMs - downSinceMs < data.downGraceMs);

/**
 * The model it means and whether that could ever serve it, before it is queued. @returns why not; null when it may
 * wait. A name that nobody knows waits while some node has not been seen yet.
 */
export const admit = (data: FleetData, waiter: Waiter): CortexError | null => {
  const modelId = resolveIn(data.topology, waiter.name);
  if (modelId === null) {
    for (const node of data.nodes.values()) if (mayYetAppear(data, node)) return null;
    return unknownModel(data.topology, waiter.name);
  }
  waiter.resolved = true;
  waiter.modelId = modelId;
  return refuseRequest(data.topology, modelId, waiter);
};

/** Names that could not be resolved before some node had been seen. */
export const resolveWaiting = (data: FleetData): void => {
  for (const waiter of data.queue.all()) {
    if (waiter.resolved) continue;
    data.queue.remove(waiter);
    const error = admit(data, waiter);
    if (error === null) data.queue.add(waiter);
    else data.emit({ kind: 'reject', ticket: waiter.ticket, error });
  }
};
