/**
 * What devices that share a model need, known before its load: the same shares are chosen that the load chooses, from
 * plain numbers. Pure.
 */
import { dealPieces } from '@cortex/core';
import { chooseShares, type SharedPlan } from './device-shares.ts';
import {
  computeBytesFrom,
  planShared,
  type MemoryLimits,
  type MemoryNeeds,
  type SharedNeeds,
  type SharedPart,
} from './memory-plan.ts';

/** Of one device: `counts` pieces of each kind. */
const needsOf = (shared: SharedNeeds, counts: readonly number[], isFirst: boolean): MemoryNeeds => {
  const over = (of: (part: SharedPart) => number): number =>
    shared.parts.reduce((sum, part, k) => sum + (counts[k] ?? 0) * of(part), 0);
  return {
    weightBytes: shared.mirroredBytes + (isFirst ? shared.towerWeightBytes : 0) + over((part) => part.weightBytes),
    kvBytesPerToken: over((part) => part.kvBytesPerToken),
    stateBytes: over((part) => part.stateBytes),
    towerBytes: isFirst ? shared.towerBytes : shared.imageRowBytes,
    computeBytes: (contextMax) => computeBytesFrom(shared.compute, contextMax),
  };
};

/** Whether so many devices can share it at all. */
export const canShare = ({ parts }: SharedNeeds, nDevices: number): boolean =>
  parts.every(({ count }) => count >= nDevices);

/**
 * What each device gets, in the order of `freeBytes`; the first has the tower.
 * @param freeBytes of as many devices as `canShare` allows
 */
export const planSharing = (
  shared: SharedNeeds,
  limits: Omit<MemoryLimits, 'freeBytes'>,
  freeBytes: readonly number[],
): SharedPlan =>
  chooseShares(freeBytes, limits, (shares) => {
    const dealt = shared.parts.map(({ name, count }) => {
      const pieces = dealPieces(count, shares);
      if (pieces === null) throw new RangeError(`${count} ${name} are too few for ${shares.length} devices`);
      return pieces;
    });
    const needs = freeBytes.map((_, i) =>
      needsOf(
        shared,
        dealt.map((pieces) => pieces[i] ?? 0),
        i === 0,
      ),
    );
    return {
      decisions: planShared(needs, limits, freeBytes),
      mirroredBytes: freeBytes.map((_, i) => shared.mirroredBytes + (i === 0 ? shared.towerWeightBytes : 0)),
    };
  });
