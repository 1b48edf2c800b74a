/** What time alone brings about: deadlines, progress for those who wait, idle unloads. */
import { CortexError } from '@cortex/core';
import { isPinned } from '../routing/residency.ts';
import type { WaitProgress } from './contract.ts';
import type { FleetData, ModelRecord, NodeRecord, Plan } from './fleet-data.ts';
import { startUnload } from './plans.ts';
import type { Waiter } from './request-queue.ts';

/** Between two searches for idle models: they are unloaded after minutes, not milliseconds. */
const idleScanEveryMs = 1000;

/** Between two words to the log on one load. */
const noticeEveryMs = 5000;

/** @param sinceMs when the load began; now, while it has not */
const loadingProgress = (
  data: Readonly<FleetData>,
  modelId: string,
  node: NodeRecord,
  sinceMs: number,
  nowMs: number,
): Extract<WaitProgress, { kind: 'loading' }> => {
  const elapsedMs = nowMs - sinceMs;
  const estimateMs = data.book.estimateMs(modelId, node.name, data.needMb(modelId, node));
  const told = node.models.get(modelId)?.progress ?? null;
  const guessed = estimateMs === null || estimateMs <= 0 ? 0 : Math.min(0.95, elapsedMs / estimateMs);
  const etaMs = estimateMs === null ? null : Math.max(0, estimateMs - elapsedMs);
  return {
    kind: 'loading',
    node: node.name,
    fraction: told?.fraction ?? guessed,
    etaSecs: told?.etaSecs ?? (etaMs === null ? null : Math.round(etaMs / 100) / 10),
  };
};

export const planProgress = (
  data: Readonly<FleetData>,
  { modelId, node, phase }: Plan,
  nowMs: number,
): Extract<WaitProgress, { kind: 'loading' }> => {
  const sinceMs = phase === 'loading' ? (node.models.get(modelId)?.loadingSinceMs ?? nowMs) : nowMs;
  return loadingProgress(data, modelId, node, sinceMs, nowMs);
};

/** How the model that they wait for is doing; null when it is loaded and only slots are missing. */
const modelProgress = (data: FleetData, modelId: string): WaitProgress | null => {
  const plan = data.plans.get(modelId);
  if (plan !== undefined) return planProgress(data, plan, data.nowMs);
  for (const { status, node, loadingSinceMs } of data.byModel.get(modelId) ?? [])
    if (status === 'loading' && node.reach === 'up')
      return loadingProgress(data, modelId, node, loadingSinceMs ?? data.nowMs, data.nowMs);
  return null;
};

const tell = (data: FleetData, waiter: Waiter, progress: WaitProgress): void => {
  const text =
    progress.kind === 'queued'
      ? `${progress.position}`
      : `${progress.node} ${progress.fraction.toFixed(2)} ${progress.etaSecs?.toFixed(0) ?? ''}`;
  if (waiter.told === text) return;
  waiter.told = text;
  data.emit({ kind: 'progress', ticket: waiter.ticket, progress });
};

/** @param only one waiter, or null for all */
export const tellProgress = (data: FleetData, only: Waiter | null): void => {
  for (const modelId of only === null ? data.queue.models(data.nowMs) : [only.modelId]) {
    const loading = modelProgress(data, modelId);
    let position = 0;
    for (const waiter of data.queue.of(modelId)) {
      position += 1;
      if (only === null || only === waiter) tell(data, waiter, loading ?? { kind: 'queued', position });
    }
  }
};

/** For the log, which shall not be silent for the minutes of a load. */
export const noticeProgress = (data: FleetData): void => {
  for (const plan of data.plans.values()) {
    if (data.nowMs - plan.noticedMs < noticeEveryMs) continue;
    plan.noticedMs = data.nowMs;
    const { modelId, node, phase } = plan;
    const { fraction, etaSecs } = planProgress(data, plan, data.nowMs);
    const waiting = data.queue.count(modelId);
    const rounded = Math.round(fraction * 100) / 100;
    data.notice({ kind: 'load_progress', node: node.name, model: modelId, phase, fraction: rounded, etaSecs, waiting });
  }
};

const isLoadedSomewhere = (data: FleetData, modelId: string): boolean => {
  for (const { status, operation, node } of data.byModel.get(modelId) ?? [])
    if (status === 'loaded' && operation === null && node.reach === 'up') return true;
  return false;
};

const tooLate = (data: FleetData, waiter: Waiter): CortexError => {
  const waitedSecs = Math.round((data.nowMs - waiter.enqueuedMs) / 1000);
  const facts = { model_id: waiter.modelId, waited_secs: waitedSecs };
  if (isLoadedSomewhere(data, waiter.modelId))
    return new CortexError('overloaded', `No slot of '${waiter.modelId}' was free within ${waitedSecs} s.`, { facts });
  const progress = modelProgress(data, waiter.modelId);
  const etaSecs = progress?.kind === 'loading' ? progress.etaSecs : null;
  return new CortexError('model_loading', `'${waiter.modelId}' was not loaded within ${waitedSecs} s.`, {
    facts: { ...facts, eta_secs: etaSecs },
    retryAfterSecs: Math.max(1, Math.ceil(etaSecs ?? 5)),
  });
};

export const enforceDeadlines = (data: FleetData): void => {
  for (const waiter of data.queue.all()) {
    if (waiter.deadlineMs > data.nowMs) continue;
    data.queue.remove(waiter);
    data.emit({ kind: 'reject', ticket: waiter.ticket, error: tooLate(data, waiter) });
  }
};

/** Milliseconds without use after which it is unloaded there; 0 never. A pinned model only if models.toml says so for it. */
const idleLimitMs = (data: FleetData, record: ModelRecord): number => {
  const profile = data.profiles.get(record.id);
  if (record.pin === true) return 0;
  if (profile?.idle_unload_secs !== undefined) return profile.idle_unload_secs * 1000;
  return isPinned(profile, record) ? 0 : data.config.eviction.idleUnloadMs;
};

export const unloadIdle = (data: FleetData): void => {
  if (data.nowMs - data.idleScanMs < idleScanEveryMs) return;
  data.idleScanMs = data.nowMs;
  for (const node of data.nodes.values()) {
    if (node.kind !== 'neuron' || node.reach !== 'up' || node.silent) continue;
    for (const record of node.models.values()) {
      const isFree = record.status === 'loaded' && record.operation === null && record.closingFor === null;
      if (!isFree || record.leases + record.foreign > 0 || record.evictAgainMs > data.nowMs) continue;
      const limitMs = idleLimitMs(data, record);
      const idleMs = data.nowMs - record.lastUsedMs;
      if (limitMs === 0 || idleMs < limitMs || data.queue.count(record.id) > 0) continue;
      startUnload(data, record, { kind: 'idle', idleMs }, 'refuse');
    }
  }
};
