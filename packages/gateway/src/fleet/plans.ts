/**
 * The life of a load: drain → unload → confirm → load. Its memory is reserved from the first moment to the poll that
 * sees it loaded. A model is unloaded only when none of our requests runs on it, and the load begins only after a poll
 * that began later than the last unload has seen the memory free.
 */
import { CortexError } from '@cortex/core';
import { freeMb, heldMb } from '../routing/memory.ts';
import type { PlaceableSite } from '../routing/place-model.ts';
import type { UnloadMode } from './events.ts';
import type { FleetData, ModelRecord, NodeRecord, Operation, Plan } from './fleet-data.ts';

const recordFor = (data: FleetData, plan: Plan): ModelRecord =>
  plan.node.models.get(plan.modelId) ?? data.addRecord(plan.node, plan.modelId);

/** The deciders hand back views of records; this finds the record behind one. */
const recordOf = (node: NodeRecord, id: string): ModelRecord => {
  const record = node.models.get(id);
  if (record === undefined) throw new CortexError('internal_error', `no record of ${id} on ${node.name}`);
  return record;
};

export const startPlan = (data: FleetData, modelId: string, site: PlaceableSite): Plan => {
  const node = data.nodes.get(site.node.name);
  if (node === undefined) throw new CortexError('internal_error', `no node ${site.node.name}`);
  const victims = site.victims.map((victim) => recordOf(node, victim.id));
  const plan: Plan = {
    id: data.nextId(),
    modelId,
    node,
    fit: site.fit,
    reservation: { modelId, devices: site.fit.devices, mostMb: site.fit.mostMb },
    victims: new Map(victims.map((victim) => [victim, 'draining'])),
    drains: site.drains,
    startedMs: data.nowMs,
    phase: 'draining',
    phaseMs: data.nowMs,
    acceptedMs: null,
    fraction: 0,
    fractionMs: data.nowMs,
    noticedMs: data.nowMs,
  };
  data.plans.set(modelId, plan);
  node.reservations.push(plan.reservation);
  for (const victim of victims) victim.closingFor = modelId;
  advancePlan(data, plan);
  return plan;
};

/** Takes every step that can be taken now. */
export const advancePlan = (data: FleetData, plan: Plan): void => {
  if (plan.phase === 'draining') {
    for (const [victim, state] of plan.victims) {
      if (state !== 'draining') continue;
      if (victim.status !== 'loaded') plan.victims.set(victim, 'gone');
      else if (victim.leases === 0) startVictimUnload(data, plan, victim);
    }
    if ([...plan.victims.values()].includes('draining')) return;
    enterPhase(data, plan, 'unloading');
  }
  if (plan.phase === 'unloading') {
    if ([...plan.victims.values()].includes('unloading')) return;
    if (plan.victims.size > 0) {
      enterPhase(data, plan, 'confirming');
      data.poll(plan.node.name);
      return;
    }
    startLoading(data, plan);
  }
};

const enterPhase = (data: FleetData, plan: Plan, phase: Plan['phase']): void => {
  plan.phase = phase;
  plan.phaseMs = data.nowMs;
};

const startVictimUnload = (data: FleetData, plan: Plan, victim: ModelRecord): void => {
  plan.victims.set(victim, 'unloading');
  startUnload(data, victim, { kind: 'evict', plan: plan.id, for: plan.modelId }, plan.drains ? 'wait' : 'refuse');
};

export const startUnload = (
  data: FleetData,
  entry: ModelRecord,
  purpose: Operation['purpose'],
  mode: UnloadMode,
): void => {
  const id = data.nextId();
  data.operations.set(id, { id, entry, purpose });
  entry.operation = 'unload';
  data.emit({ kind: 'start_unload', operation: id, node: entry.node.name, modelId: entry.id, mode });
};

const startLoading = (data: FleetData, plan: Plan): void => {
  const { node, fit, modelId } = plan;
  enterPhase(data, plan, 'loading');
  plan.fractionMs = data.nowMs;
  const record = recordFor(data, plan);
  record.operation = 'load';
  record.closingFor = null;
  record.changedMs = data.nowMs;
  record.loadingSinceMs = data.nowMs;
  record.error = null;
  const profile = data.profiles.get(modelId);
  const isUnseen = record.vramNeededMb === null;
  data.emit({
    kind: 'start_load',
    plan: plan.id,
    node: node.name,
    request: {
      model_id: modelId,
      wait: false,
      // A node that may spread layers does so only where this gateway knows of it, or cannot know before it has the files.
      layer_offload: fit.isByLayers || (isUnseen && fit.devices.length === 1 && profile?.layer_offload === true),
      ...(fit.isByLayers ? {} : { devices: [...fit.devices] }),
      ...(profile === undefined ? {} : { harness: profile.harness }),
      ...(profile?.quant === undefined ? {} : { quant: profile.quant }),
      ...(fit.isByLayers || fit.devices.length === 1 ? {} : { tensor_parallel: fit.devices.length }),
    },
  });
  data.notice({ kind: 'load_started', node: node.name, model: modelId, devices: fit.devices });
};

/** Gives back what the plan holds. What it has asked the node for goes on; polls will tell. */
export const dropPlan = (data: FleetData, plan: Plan): void => {
  data.plans.delete(plan.modelId);
  const { reservations } = plan.node;
  reservations.splice(reservations.indexOf(plan.reservation), 1);
  for (const victim of plan.victims.keys()) if (victim.closingFor === plan.modelId) victim.closingFor = null;
  const record = plan.node.models.get(plan.modelId);
  if (plan.phase !== 'loading' || record === undefined) return;
  record.operation = null;
  record.loadingSinceMs = null;
};

const finishPlan = (data: FleetData, plan: Plan, record: ModelRecord): void => {
  const loadMs = data.nowMs - (record.loadingSinceMs ?? plan.startedMs);
  data.book.loaded(record.id, plan.node.name, loadMs, record.vramUsedMb + heldMb(record, null));
  dropPlan(data, plan);
  data.notice({ kind: 'load_finished', node: plan.node.name, model: record.id, loadMs });
};

/** Free megabytes of these devices together. */
export const freeOn = (node: NodeRecord, devices: readonly number[]): number =>
  node.devices.reduce(
    (sum, device) => (devices.includes(device.index) ? sum + Math.max(0, freeMb(node, device)) : sum),
    0,
  );

/** With every model gone from them; what a node says of those may be more than its devices hold. */
const mostOn = (node: NodeRecord, devices: readonly number[]): number =>
  node.devices.reduce((sum, device) => {
    if (!devices.includes(device.index)) return sum;
    let mb = Math.max(0, freeMb(node, device));
    for (const model of node.models.values()) mb += heldMb(model, device.index);
    return sum + Math.min(mb, device.totalMb);
  }, 0);

export const failPlan = (data: FleetData, plan: Plan, error: CortexError): void => {
  const { node, fit } = plan;
  dropPlan(data, plan);
  node.freedMs = data.nowMs;
  const { devices } = fit;
  const mb = freeOn(node, devices);
  const free = { mb, devices, evictable: mostOn(node, devices) > mb };
  data.book.failed(plan.modelId, node.name, error, free, data.nowMs);
  data.notice({ kind: 'load_failed', node: node.name, model: plan.modelId, error });
  if (node.reach === 'up') data.poll(node.name);
};

/** For what is meant to be taken; its reservation may be of more. */
const memoryIsFree = ({ node, fit: { devices, mb, mostMb } }: Plan): boolean =>
  node.devices.every((device) => {
    const i = devices.indexOf(device.index);
    return i < 0 || (!device.poisoned && freeMb(node, device) + (mostMb[i] ?? 0) - (mb[i] ?? 0) >= 0);
  });

/** @param startedMs when the poll began that has just been applied to the plan's node */
export const pollPlan = (data: FleetData, plan: Plan, startedMs: number): void => {
  if (plan.phase === 'draining') return advancePlan(data, plan);
  if (plan.phase === 'unloading') return;
  if (plan.phase === 'confirming') {
    if (startedMs < plan.phaseMs) return;
    if (data.queue.count(plan.modelId) === 0) dropPlan(data, plan);
    else if (memoryIsFree(plan)) startLoading(data, plan);
    else if (data.nowMs - plan.phaseMs > data.config.load.confirmMs) dropPlan(data, plan);
    return;
  }
  const record = recordFor(data, plan);
  if (startedMs < record.changedMs) return;
  if (record.status === 'loaded') return finishPlan(data, plan, record);
  if (record.status === 'loading') {
    plan.acceptedMs ??= data.nowMs;
    const fraction = record.progress?.fraction ?? 0;
    if (fraction !== plan.fraction) {
      plan.fraction = fraction;
      plan.fractionMs = data.nowMs;
    }
    return;
  }
  if (plan.acceptedMs === null || startedMs < plan.acceptedMs) return;
  const failed = record.status === 'failed' && record.error !== null;
  const message = failed ? (record.error ?? '') : 'the node no longer knows of the load';
  failPlan(data, plan, new CortexError('model_load_failed', message, { facts: { node: plan.node.name } }));
};

const failLate = (
  data: FleetData,
  plan: Plan,
  code: 'upstream_timeout' | 'upstream_disconnected',
  message: string,
): void => failPlan(data, plan, new CortexError(code, message, { facts: { node: plan.node.name } }));

const tickLoading = (data: FleetData, plan: Plan): void => {
  const { node, fractionMs } = plan;
  const { stallMs } = data.config.load;
  if (data.nowMs - fractionMs > stallMs)
    failLate(data, plan, 'upstream_timeout', `no progress for ${Math.round(stallMs / 1000)} s`);
  else if (node.reach === 'up') data.poll(node.name);
  else if (data.nowMs - node.downSinceMs >= data.downGraceMs)
    failLate(data, plan, 'upstream_disconnected', `the node was lost: ${node.downReason ?? 'no answer'}`);
};

/** What time alone decides: loads that stall or whose node is lost fail, unwanted ones that have not begun are dropped. */
export const tickPlan = (data: FleetData, plan: Plan): void => {
  if (plan.phase === 'loading') tickLoading(data, plan);
  else if (plan.phase === 'unloading') data.poll(plan.node.name);
  else if (data.queue.count(plan.modelId) === 0) dropPlan(data, plan);
  else if (plan.phase === 'draining') advancePlan(data, plan);
  else data.poll(plan.node.name);
};
