/**
 * One poll's answer into the records of its node. What this gateway did since the poll began stands over what the poll
 * says; leases, use and operations are never the poll's to change.
 */
import type { BrokenGroup, DeviceHealth, DeviceInfo, ModelActivity } from '@cortex/core';
import { circuitRestarted } from '../routing/circuit.ts';
import { profileLimit } from '../routing/catalogue.ts';
import { findBroken } from '../routing/memory.ts';
import type { DeviceView } from '../routing/topology.ts';
import type { PolledModel, PollResult } from './events.ts';
import type { FleetData, ModelRecord, NodeRecord } from './fleet-data.ts';

/** What the run loop acts on. */
export interface PollNews {
  /** Reach, models or devices are not as before: whoever waits may be served or placed. */
  readonly changed: boolean;
  readonly nowLoaded: readonly ModelRecord[];
  /** The node's process is another: what was under way there is lost. */
  readonly restarted: boolean;
}

const device = (health: DeviceHealth, info: DeviceInfo | DeviceView | undefined): DeviceView => {
  const totalMb =
    info === undefined
      ? health.vram_used_mb + health.vram_free_mb
      : 'totalMb' in info
        ? Number(info.totalMb)
        : info.vram_total_mb;
  return {
    index: health.index,
    name: info?.name ?? `device ${health.index}`,
    backend: info?.backend ?? 'unknown',
    totalMb,
    usedMb: health.vram_used_mb,
    // A node can't have more free than it has.
    freeMb: Math.min(health.vram_free_mb, totalMb),
    utilizationPct: health.utilization_pct ?? null,
    tempC: health.temp_c ?? null,
    poisoned: health.poisoned,
    poisonedReason: health.poisoned_reason ?? null,
  };
};

const keyOf = (group: BrokenGroup): string => `${group.by_layers} ${group.devices.join('+')}`;

const applyBroken = (data: FleetData, node: NodeRecord, broken: readonly BrokenGroup[]): void => {
  const before = new Set(node.brokenGroups.map(keyOf));
  node.brokenGroups = broken;
  for (const group of broken)
    if (!before.has(keyOf(group)))
      data.notice({ kind: 'group_broken', node: node.name, devices: group.devices, reason: group.reason });
};

const applyDevices = (data: FleetData, node: NodeRecord, { discovery, health }: PollResult): void => {
  if (discovery !== null) {
    node.hostname = discovery.hostname;
    node.harnesses = discovery.harnesses;
  }
  if (health === null) return;
  node.hostFreeMb = health.host_free_mb ?? null;
  const known = new Map<number, DeviceInfo | DeviceView>(
    (discovery?.devices ?? node.devices).map((info) => [info.index, info]),
  );
  applyBroken(data, node, health.broken_groups ?? []);
  const before = new Map(node.devices.map((one) => [one.index, one]));
  node.devices = health.devices.map((one) => device(one, known.get(one.index)));
  for (const one of node.devices)
    if (one.poisoned && before.get(one.index)?.poisoned !== true)
      data.notice({
        kind: 'device_poisoned',
        node: node.name,
        device: one.index,
        reason: one.poisonedReason ?? 'no reason given',
      });
};

const noGateways: readonly string[] = [];

/** Facts of the model that do not depend on when the poll began. */
const applyFacts = (data: FleetData, record: ModelRecord, polled: PolledModel): void => {
  const profile = data.profiles.get(record.id);
  const capabilities = polled.capabilities ?? profile?.capabilities ?? null;
  record.harness = polled.harness;
  record.cold = polled.cold ?? null;
  record.via = polled.via ?? noGateways;
  record.vramNeededMb = polled.vram_needed_mb ?? null;
  record.placement = polled.placement
    ? { nDevices: polled.placement.tensor_parallel, devices: polled.placement.devices ?? null }
    : null;
  record.sharing = polled.sharing ?? null;
  record.offload = polled.layer_offload
    ? { hostMb: polled.layer_offload.host_mb, isDefault: polled.layer_offload.by_default !== false }
    : null;
  record.capabilities = capabilities;
  record.maySee = capabilities === null || capabilities.includes('vision');
  record.limit = polled.limit ?? profileLimit(profile);
  record.contextMax = record.limit?.context ?? Infinity;
  record.toolCall = polled.tool_call ?? null;
  record.reasoning = polled.reasoning ?? null;
  record.servable = polled.servable.ok;
  record.servableReason = polled.servable.reason ?? null;
  record.error = polled.error ?? null;
};

const applyActivity = (data: FleetData, record: ModelRecord, activity: ModelActivity | undefined): void => {
  const reported = activity === undefined ? 0 : activity.in_flight + activity.queue_depth;
  record.foreign = Math.max(0, reported - record.leasePeak);
  record.leasePeak = record.leases;
  record.maxInFlight = activity?.max_in_flight ?? record.node.config.slots;
  record.decodeTokS = activity?.tok_s_decode ?? null;
  const idleMs = record.leases > 0 || record.foreign > 0 ? 0 : activity?.idle_ms;
  if (idleMs !== null && idleMs !== undefined) record.lastUsedMs = Math.max(record.lastUsedMs, data.nowMs - idleMs);
};

/** @returns whether its status changed */
const applyStatus = (data: FleetData, record: ModelRecord, polled: PolledModel): boolean => {
  const before = record.status;
  const { progress } = polled;
  record.status = polled.status;
  record.devices = polled.devices;
  record.vramUsedMb = polled.vram_used_mb;
  record.devicesMb = polled.devices_mb ?? [];
  record.layers = polled.layers ?? [];
  record.progress = progress
    ? { fraction: progress.fraction, phase: progress.phase, etaSecs: progress.eta_secs ?? null }
    : null;
  if (polled.status === 'loading') record.loadingSinceMs ??= data.nowMs;
  if (polled.status === 'loaded' && before !== 'loaded') {
    record.loadedAtMs = data.nowMs;
    record.lastUsedMs = data.nowMs;
  }
  return before !== polled.status;
};

const isPoisoned = (record: ModelRecord): boolean =>
  (record.status === 'loaded' || record.status === 'loading') &&
  (record.node.devices.some((one) => one.poisoned && record.devices.includes(one.index)) ||
    findBroken(record.node, record.devices, record.layers.length > 0) !== null);

/** It holds no memory any more. */
export const forgetLoaded = (record: ModelRecord): void => {
  record.status = 'available';
  record.vramUsedMb = 0;
  record.devicesMb = [];
  record.layers = [];
  record.devices = [];
  record.poisoned = false;
  record.foreign = 0;
  record.progress = null;
};

/** It left the disk, or its node was restarted without it. @returns whether that changes anything */
const applyAbsence = (data: FleetData, record: ModelRecord): boolean => {
  if (record.leases === 0 && record.operation === null) {
    data.removeRecord(record);
    return true;
  }
  const changed = record.status !== 'available';
  forgetLoaded(record);
  return changed;
};

const applyModels = (data: FleetData, node: NodeRecord, result: PollResult): Omit<PollNews, 'restarted'> => {
  const activities = new Map(result.health?.models.map((activity) => [activity.id, activity]));
  const seen = new Set<string>();
  const nowLoaded: ModelRecord[] = [];
  let changed = false;
  for (const polled of result.models) {
    seen.add(polled.id);
    const known = node.models.get(polled.id);
    const record = known ?? data.addRecord(node, polled.id);
    changed ||= known === undefined || known.servable !== polled.servable.ok;
    applyFacts(data, record, polled);
    if (result.startedMs < record.changedMs) continue;
    const news = applyStatus(data, record, polled);
    applyActivity(data, record, activities.get(polled.id));
    const poisoned = isPoisoned(record);
    if (news && record.status === 'loaded') nowLoaded.push(record);
    changed ||= news || poisoned !== record.poisoned;
    record.poisoned = poisoned;
  }
  for (const record of node.models.values())
    if (!seen.has(record.id) && result.startedMs >= record.changedMs && applyAbsence(data, record)) changed = true;
  return { changed, nowLoaded };
};

export const applyPoll = (data: FleetData, node: NodeRecord, result: PollResult): PollNews => {
  const uptimeSecs = result.health?.uptime_secs ?? null;
  const restarted = uptimeSecs !== null && node.uptimeSecs !== null && uptimeSecs < node.uptimeSecs;
  const wasUp = node.reach === 'up';
  const wasSilent = node.silent;
  if (restarted) {
    node.cycles = 0;
    node.defragDue = false;
  }
  node.uptimeSecs = uptimeSecs;
  node.polledMs = result.startedMs;
  node.reach = 'up';
  node.silent = false;
  node.nUnanswered = 0;
  node.downReason = null;
  if (restarted || !wasUp) {
    node.circuit = circuitRestarted(node.circuit);
    data.notice({ kind: 'node_up', node: node.name, restarted });
  }
  applyDevices(data, node, result);
  const news = applyModels(data, node, result);
  return { ...news, changed: news.changed || restarted || !wasUp || wasSilent, restarted };
};
