/**
 * How much of a model each device of a group is to have: alike, for then none waits for another, and other than that
 * as little as it takes to fit, with the longest context. Pure; sizes are bytes.
 */
import { correctShares, evenShares, shareCorrectionsMax } from '@cortex/core';
import { cellAlignment, type MemoryDecision, type MemoryLimits } from './memory-plan.ts';

type Limits = Omit<MemoryLimits, 'freeBytes'>;

/** One way of sharing: what it comes to on every device. */
export interface SharedPlan {
  readonly decisions: readonly MemoryDecision[];
  /** Weights that all devices have, and the tower's on the one that has them. */
  readonly mirroredBytes: readonly number[];
}

const isShort = ({ decisions }: SharedPlan): boolean => decisions.some(({ kind }) => kind === 'short');

const contextOf = ({ decisions }: SharedPlan): number => Math.min(...decisions.map(({ plan }) => plan.contextMax));

const isBetter = (plan: SharedPlan, than: SharedPlan): boolean =>
  isShort(plan) === isShort(than) ? contextOf(plan) > contextOf(than) : isShort(than);

/** How many times what it is to hold of its share a device has room for, with the whole context. */
const roomsOf = (
  { decisions, mirroredBytes }: SharedPlan,
  { contextMax, kvTokens, kvShare }: Limits,
  freeBytes: readonly number[],
): readonly number[] =>
  decisions.map(({ plan: { parts, kvTokens: nTokens } }, i) => {
    const mirrored = mirroredBytes[i] ?? 0;
    const room = (freeBytes[i] ?? 0) - mirrored - parts.compute - parts.tower;
    const cache = (parts.kv / nTokens) * (kvTokens ?? contextMax / kvShare);
    return Math.max(0, room / Math.max(1, parts.weights - mirrored + parts.state + cache));
  });

/** Those to make room for, one after the other: the whole context, and where that leaves no way, the shortest. */
const aimsOf = (limits: Limits): readonly Limits[] => [limits, { ...limits, contextMax: cellAlignment, kvShare: 1 }];

/**
 * The best of alike shares and of some that follow the free memory.
 * @param plan of the shares given, in any measure
 * @throws what `plan` throws for alike shares
 */
export const chooseShares = <P extends SharedPlan>(
  freeBytes: readonly number[],
  limits: Limits,
  plan: (shares: readonly number[]) => P,
): P => {
  const even = plan(evenShares(freeBytes.length));
  let best = even;
  for (const [nTried, aim] of aimsOf(limits).entries()) {
    if (nTried > 0 && !isShort(best)) break;
    let shares = evenShares(freeBytes.length);
    let latest = even;
    for (let i = 0; i < shareCorrectionsMax && (isShort(best) || contextOf(best) < limits.contextMax); i++) {
      shares = correctShares(shares, roomsOf(latest, aim, freeBytes), i);
      latest = plan(shares);
      if (isBetter(latest, best)) best = latest;
    }
  }
  return best;
};
