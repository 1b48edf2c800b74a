/** The fleet as plain JSON, for `GET /api/fleet`, the page and the gauges. Snake case, as on the wire. */
import type {
  DeviceSnapshot,
  FleetSnapshot,
  NodeModelSnapshot,
  NodeSnapshot,
  PlanSnapshot,
  QueueSnapshot,
} from '@cortex/core';
import { isKnownModel, listModels } from '../routing/catalogue.ts';
import { freeMb, heldMb, isServable } from '../routing/memory.ts';
import { isPinned } from '../routing/residency.ts';
import type { DeviceView } from '../routing/topology.ts';
import type { FleetData, ModelRecord, NodeRecord, Plan } from './fleet-data.ts';
import { planProgress } from './housekeeping.ts';

const secs = (ms: number): number => Math.round(Math.max(0, ms)) / 1000;

const deviceSnapshot = (node: NodeRecord, device: DeviceView): DeviceSnapshot => ({
  index: device.index,
  name: device.name,
  backend: device.backend,
  vram_total_mb: device.totalMb,
  vram_used_mb: device.usedMb,
  vram_free_mb: device.freeMb,
  vram_reserved_mb: Math.max(0, device.freeMb - freeMb(node, device)),
  utilization_pct: device.utilizationPct,
  temp_c: device.tempC,
  poisoned: device.poisoned,
  poisoned_reason: device.poisonedReason,
});

const statusOf = ({ operation, status }: ModelRecord): NodeModelSnapshot['status'] => {
  if (operation === null) return status;
  return operation === 'load' ? 'loading' : 'unloading';
};

const modelSnapshot = (data: Readonly<FleetData>, record: ModelRecord, nowMs: number): NodeModelSnapshot => ({
  id: record.id,
  status: statusOf(record),
  devices: record.devices,
  vram_used_mb: record.vramUsedMb,
  devices_mb: record.devices.map((device) => heldMb(record, device)),
  layers: record.layers.map(({ device, name, layers, mb }) => ({ device, name, layers, mb })),
  in_flight: record.leases,
  foreign_in_flight: record.foreign,
  max_in_flight: record.maxInFlight,
  tok_s_decode: record.decodeTokS,
  idle_secs:
    record.status === 'loaded' ? (record.leases + record.foreign > 0 ? 0 : secs(nowMs - record.lastUsedMs)) : null,
  closing_for: record.closingFor,
  pinned: isPinned(data.profiles.get(record.id), record),
  progress:
    record.progress === null
      ? null
      : { fraction: record.progress.fraction, phase: record.progress.phase, eta_secs: record.progress.etaSecs },
  reason:
    (isServable(data.profiles.get(record.id), record) ? null : record.servableReason) ??
    record.error ??
    data.book.coolDown(record.id, record.node.name, nowMs)?.error.message ??
    null,
});

const nodeSnapshot = (data: Readonly<FleetData>, node: NodeRecord, nowMs: number): NodeSnapshot => {
  const models = [...node.models.values()].map((record) => modelSnapshot(data, record, nowMs));
  return {
    name: node.name,
    endpoint: node.endpoint,
    kind: node.kind,
    reach: node.silent ? 'silent' : node.reach,
    down_reason: node.downReason,
    draining: node.drainedFrom !== null,
    circuit: node.circuit.kind,
    hostname: node.hostname,
    uptime_secs: node.uptimeSecs,
    in_flight: models.reduce((sum, model) => sum + model.in_flight, 0),
    cycles: node.cycles,
    defrag_due: node.defragDue,
    devices: node.devices.map((device) => deviceSnapshot(node, device)),
    broken_groups: node.brokenGroups.map(({ devices, by_layers, reason }) => ({ devices, by_layers, reason })),
    models,
  };
};

const planSnapshot = (data: Readonly<FleetData>, plan: Plan, nowMs: number): PlanSnapshot => {
  const { fraction, etaSecs } = planProgress(data, plan, nowMs);
  return {
    model: plan.modelId,
    node: plan.node.name,
    phase: plan.phase,
    evicting: [...plan.victims.keys()].map((victim) => victim.id),
    fraction,
    eta_secs: etaSecs,
    elapsed_secs: secs(nowMs - plan.startedMs),
  };
};

const queueSnapshot = ({ queue, topology }: Readonly<FleetData>, nowMs: number): QueueSnapshot => {
  const oldestMs = queue.all().reduce((oldest, waiter) => Math.min(oldest, waiter.enqueuedMs), nowMs);
  return {
    waiting: queue.size,
    max: queue.max,
    oldest_secs: secs(nowMs - oldestMs),
    // Right after the start, names that nobody knows yet wait too: they may be anything, of any length.
    by_model: queue
      .models(nowMs)
      .filter((model) => isKnownModel(topology, model))
      .map((model) => ({ model, waiting: queue.count(model) })),
  };
};

export const takeSnapshot = (data: Readonly<FleetData>, nowMs: number): FleetSnapshot => ({
  nodes: [...data.nodes.values()].map((node) => nodeSnapshot(data, node, nowMs)),
  queue: queueSnapshot(data, nowMs),
  plans: [...data.plans.values()].map((plan) => planSnapshot(data, plan, nowMs)),
  models: listModels(data.topology),
});
