/**
 * Whether devices can share a model, and what each would have of it: in the pieces that the node names, alike where there
 * is room, and by what is free where there is not. The node chooses shares in the same way. Pure.
 */
import { correctShares, dealPieces, evenShares, shareCorrectionsMax, sharedMb, type Sharing } from '@cortex/core';

/** Where nobody knows what cannot be divided, it counts as so many pieces. */
const nPiecesUnknown = 4096;

/** What there is too little of for so many devices; null when they can share it. */
export const undividable = ({ parts }: Sharing, nDevices: number): Sharing['parts'][number] | null =>
  parts.find(({ count }) => count < nDevices) ?? null;

/** With everything that the load is known to need besides, on each alike. */
const withNeed = (sharing: Sharing | null, needMb: number, nDevices: number): Sharing => {
  if (sharing === null) {
    const parts = [{ name: 'parts', count: nPiecesUnknown, mb: needMb / nPiecesUnknown }];
    return { each_mb: 0, first_mb: 0, parts };
  }
  const moreMb = Math.max(0, needMb - sharedMb(sharing, nDevices));
  return { ...sharing, each_mb: sharing.each_mb + moreMb / nDevices };
};

/** What each has by these shares; null where one would have nothing of some part. */
const byShares = ({ each_mb, first_mb, parts }: Sharing, shares: readonly number[]): readonly number[] | null => {
  const own = shares.map((_, i) => each_mb + (i === 0 ? first_mb : 0));
  for (const { count, mb } of parts) {
    const pieces = dealPieces(count, shares);
    if (pieces === null) return null;
    for (const [i, n] of pieces.entries()) own[i] = (own[i] ?? 0) + n * mb;
  }
  return own;
};

/** Alike parts, whatever is free. */
export const evenParts = (nDevices: number, needMb: number, sharing: Sharing | null): readonly number[] =>
  byShares(withNeed(sharing, needMb, nDevices), evenShares(nDevices)) ?? [];

/**
 * Megabytes of each device, in the order of their indices; null where it does not fit.
 * @param needMb of all together
 * @param sharing null: it may be divided in any way
 */
export const dealSharing = (
  freeMb: readonly number[],
  needMb: number,
  sharing: Sharing | null,
): readonly number[] | null => {
  const whole = withNeed(sharing, needMb, freeMb.length);
  const wholeMb = (i: number): number => whole.each_mb + (i === 0 ? whole.first_mb : 0);
  let shares = evenShares(freeMb.length);
  for (let i = 0; i <= shareCorrectionsMax; i++) {
    const mb = byShares(whole, shares);
    if (mb === null) return null;
    if (mb.every((own, device) => own <= (freeMb[device] ?? 0))) return mb;
    const rooms = mb.map((own, device) => {
      const room = (freeMb[device] ?? 0) - wholeMb(device);
      return Math.max(0, room / Math.max(1e-6, own - wholeMb(device)));
    });
    shares = correctShares(shares, rooms, i);
  }
  return null;
};
