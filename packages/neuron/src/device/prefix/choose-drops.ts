/** What leaves the host's memory for something new: a pure choice by least recent use. */

export interface HostItem {
  readonly nBytes: number;
  /** Larger is later. */
  readonly usedAt: number;
}

/**
 * The items to drop so that `incoming` fits into `bytesMax` with the rest: none that could stay, none used later than
 * it. Null when it cannot fit.
 */
export const chooseDrops = <T extends HostItem>(
  items: readonly T[],
  incoming: HostItem,
  bytesMax: number,
): readonly T[] | null => {
  let excess = items.reduce((sum, { nBytes }) => sum + nBytes, incoming.nBytes) - bytesMax;
  const dropped: T[] = [];
  for (const item of items.toSorted((a, b) => a.usedAt - b.usedAt)) {
    if (excess <= 0 || item.usedAt > incoming.usedAt) break;
    dropped.push(item);
    excess -= item.nBytes;
  }
  if (excess > 0) return null;
  // A small old item may have been dropped for nothing where a large later one made all the room.
  return dropped.toReversed().filter((item) => {
    const isSpare = item.nBytes <= -excess;
    if (isSpare) excess += item.nBytes;
    return !isSpare;
  });
};
