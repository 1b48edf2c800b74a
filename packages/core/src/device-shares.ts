/**
 * How devices share a model in parts: alike, for then none waits for another, and other than that as it takes for each
 * to have room. A neuron loads by this, and a gateway tells by it what a neuron could load. Pure.
 */
import type { Sharing } from './neuron-api.ts';

/** Whole pieces make a share larger or smaller than it was meant to be: this many times it is corrected. */
export const shareCorrectionsMax = 16;
/** Of all: every device gets something. */
const leastShare = 1e-3;

const sum = (all: readonly number[]): number => all.reduce((total, n) => total + n, 0);

/** Megabytes of all devices that share a model. */
export const sharedMb = ({ each_mb, first_mb, parts }: Sharing, nDevices: number): number =>
  nDevices * each_mb + first_mb + sum(parts.map(({ count, mb }) => count * mb));

/** Alike for all. */
export const evenShares = (nDevices: number): readonly number[] => Array.from({ length: nDevices }, () => 1);

/** Pieces that each device gets, as near to its share (in any measure) as can be; null where one would get none. */
export const dealPieces = (nPieces: number, shares: readonly number[]): readonly number[] | null => {
  if (!Number.isInteger(nPieces) || nPieces < shares.length) return null;
  const all = sum(shares);
  const exact = shares.map((share) => (nPieces * share) / all);
  const counts = exact.map((share) => Math.max(1, Math.floor(share)));
  // What is left goes where most is missing, and what was given to those with nothing comes from where least is.
  const missing = (i: number): number => (exact[i] ?? 0) - (counts[i] ?? 0);
  for (let left = nPieces - sum(counts); left !== 0; left -= Math.sign(left)) {
    const candidates = counts.flatMap((count, i) => (left > 0 || count > 1 ? [i] : []));
    const chosen = candidates.reduce((best, i) => ((missing(i) - missing(best)) * left > 0 ? i : best));
    counts[chosen] = (counts[chosen] ?? 0) + Math.sign(left);
  }
  return counts;
};

/** Each correction aims at so much less of the room: whole pieces would often leave all as it was. */
const margin = 0.01;

/**
 * Who has no room for its share gets what it has room for, the others the rest; where nobody has, all are as full.
 * @param rooms how many times what it has of its share each has room for
 * @param nBefore corrections before this one
 */
export const correctShares = (
  shares: readonly number[],
  rooms: readonly number[],
  nBefore: number,
): readonly number[] => {
  const all = sum(shares);
  const isTight = rooms.map((room) => room < 1);
  const aim = isTight.includes(false) ? 1 - margin * nBefore : 1;
  const fitting = shares.map((share, i) => (share / all) * (isTight[i] === true ? aim * (rooms[i] ?? 0) : 1));
  const sumOf = (tight: boolean): number => sum(fitting.filter((_, i) => isTight[i] === tight));
  const [taken, loose] = [sumOf(true), sumOf(false)];
  return fitting.map((share, i) =>
    Math.max(leastShare, isTight[i] === true || loose === 0 ? share : (share * (1 - taken)) / loose),
  );
};
