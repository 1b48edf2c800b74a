/** What devices that share a model would have of it, by what is free of each: as a load over them decides it. Pure. */
import type { Sharing } from '@cortex/core';
import { computeBytesFrom, type MemoryLimits, type MemoryPlan, type SharedNeeds } from '../model/memory-plan.ts';
import { canShare, planSharing } from '../model/shared-needs.ts';

export interface GroupEstimate {
  readonly fits: boolean;
  readonly contextMax: number;
  /** Of each device. */
  readonly memory: readonly MemoryPlan[];
}

/**
 * Null where it cannot be shared by so many.
 * @param freeBytes of each device, in the order of their indices
 */
export const estimateGroup = (
  shared: SharedNeeds,
  limits: Omit<MemoryLimits, 'freeBytes'>,
  freeBytes: readonly number[],
): GroupEstimate | null => {
  if (!canShare(shared, freeBytes.length)) return null;
  const { decisions } = planSharing(shared, limits, freeBytes);
  const memory = decisions.map(({ plan }) => plan);
  return {
    fits: decisions.every(({ kind }) => kind === 'fits'),
    contextMax: Math.min(...memory.map((plan) => plan.contextMax)),
    memory,
  };
};

const mb = 1024 * 1024;

/** For gateways: what each needs with room for so many tokens. */
export const sharingOf = (
  { mirroredBytes, towerWeightBytes, towerBytes, imageRowBytes, compute, parts }: SharedNeeds,
  tokens: { readonly contextMax: number; readonly kvTokens: number },
): Sharing => ({
  each_mb: Math.ceil((mirroredBytes + imageRowBytes + computeBytesFrom(compute, tokens.contextMax)) / mb),
  first_mb: Math.ceil((towerWeightBytes + Math.max(0, towerBytes - imageRowBytes)) / mb),
  parts: parts.map(({ name, count, weightBytes, kvBytesPerToken, stateBytes }) => ({
    name,
    count,
    mb: (weightBytes + kvBytesPerToken * tokens.kvTokens + stateBytes) / mb,
  })),
});
