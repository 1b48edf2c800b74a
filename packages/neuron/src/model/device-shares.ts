/**
 * How much of a model each device of a group is to have: alike, for then none waits for another, and other than that
 * as little as it takes to fit, with the longest context. Pure; sizes are bytes.
 */
import type { MemoryDecision, MemoryLimits } from './memory-plan.ts';

type Limits = Omit<MemoryLimits, 'freeBytes'>;

/** One way of sharing: what it comes to on every device. */
export interface SharedPlan {
  readonly decisions: readonly MemoryDecision[];
  /** Weights that all devices have, and the tower's on the one that has them. */
  readonly mirroredBytes: readonly number[];
}

/** Whole heads and blocks make a share larger or smaller than it was meant to be: this many times it is corrected. */
const correctionsMax = 4;
/** Of all: every device gets something. */
const leastShare = 1e-3;

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

/** Who has no room for its share gets what it has room for, the others the rest; where nobody has, all are as full. */
const corrected = (shares: readonly number[], rooms: readonly number[]): number[] => {
  const sum = shares.reduce((total, share) => total + share, 0);
  const fitting = shares.map((share, i) => (share / sum) * Math.min(1, rooms[i] ?? 0));
  const isTight = rooms.map((room) => room < 1);
  const sumOf = (tight: boolean): number =>
    fitting.reduce((total, share, i) => (isTight[i] === tight ? total + share : total), 0);
  const [taken, loose] = [sumOf(true), sumOf(false)];
  return fitting.map((share, i) =>
    Math.max(leastShare, isTight[i] === true || loose === 0 ? share : (share * (1 - taken)) / loose),
  );
};

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
  let shares: readonly number[] = freeBytes.map(() => 1);
  let best = plan(shares);
  let latest = best;
  for (let i = 0; i < correctionsMax && (isShort(best) || contextOf(best) < limits.contextMax); i++) {
    shares = corrected(shares, roomsOf(latest, limits, freeBytes));
    latest = plan(shares);
    if (isBetter(latest, best)) best = latest;
  }
  return best;
};
