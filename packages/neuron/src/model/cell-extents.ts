/**
 * Contiguous extents of a cache's cells: which are taken and where the next one goes. Extents never overlap, gaps are
 * always merged, and every extent begins and ends on the alignment (the last may end with the cells).
 */

export interface CellExtent {
  readonly start: number;
  readonly length: number;
}

export class CellExtents {
  readonly #alignment: number;
  /** Free, by start; never two adjacent. */
  #gaps: CellExtent[];
  /** Handed out and not freed, by identity: a stale extent must not free its successor's cells. */
  readonly #taken = new Set<CellExtent>();

  /** @throws RangeError when a number is not a positive integer (`nCells` may be 0). */
  constructor(nCells: number, alignment: number) {
    if (!Number.isSafeInteger(nCells) || nCells < 0) throw new RangeError(`${nCells} cells cannot be`);
    if (!Number.isSafeInteger(alignment) || alignment < 1) throw new RangeError(`alignment ${alignment} cannot be`);
    this.#alignment = alignment;
    this.#gaps = nCells === 0 ? [] : [{ start: 0, length: nCells }];
  }

  get nFree(): number {
    return this.#gaps.reduce((sum, gap) => sum + gap.length, 0);
  }

  get largestFree(): number {
    return this.#gaps.reduce((largest, gap) => Math.max(largest, gap.length), 0);
  }

  /**
   * At least `nCells` cells, from the smallest gap that has them, the first of equals; null when none has.
   * `length` is rounded up to the alignment where the gap allows it.
   * @throws RangeError when `nCells` is not a positive integer.
   */
  allocate(nCells: number): CellExtent | null {
    if (!Number.isSafeInteger(nCells) || nCells < 1) throw new RangeError(`an extent of ${nCells} cells cannot be`);
    let best: CellExtent | null = null;
    for (const gap of this.#gaps) {
      if (gap.length >= nCells && (best === null || gap.length < best.length)) best = gap;
    }
    if (best === null) return null;
    const { start, length: nGap } = best;
    const length = Math.min(this.#rounded(nCells), nGap);
    const rest = { start: start + length, length: nGap - length };
    this.#gaps.splice(this.#gaps.indexOf(best), 1, ...(rest.length > 0 ? [rest] : []));
    return this.#take({ start, length });
  }

  /** @throws Error when `extent` is not one that is taken. */
  free(extent: CellExtent): void {
    this.#release(extent);
    this.#gaps = merged([...this.#gaps, extent]);
  }

  /**
   * The same cells and those that follow, at least `nCells` in all; `extent` is used up. Null when those that follow
   * are not free: then it stays as it was.
   */
  grow(extent: CellExtent, nCells: number): CellExtent | null {
    if (extent.length >= nCells) return extent;
    const end = extent.start + extent.length;
    const gap = this.#gaps.find(({ start }) => start === end);
    if (gap === undefined || extent.length + gap.length < nCells) return null;
    const length = Math.min(this.#rounded(nCells), extent.length + gap.length);
    const rest = { start: extent.start + length, length: extent.length + gap.length - length };
    this.#release(extent);
    this.#gaps = this.#gaps.flatMap((other) => (other !== gap ? [other] : rest.length > 0 ? [rest] : []));
    return this.#take({ start: extent.start, length });
  }

  /** The first `nCells` of the extent, rounded up to the alignment; the rest is free, and `extent` is used up. */
  shrink(extent: CellExtent, nCells: number): CellExtent {
    const length = Math.min(this.#rounded(Math.max(nCells, 1)), extent.length);
    if (length === extent.length) return extent;
    this.#release(extent);
    this.#gaps = merged([...this.#gaps, { start: extent.start + length, length: extent.length - length }]);
    return this.#take({ start: extent.start, length });
  }

  /**
   * Which of `candidates` (the least wanted first) must be freed for `allocate(nCells)` to find room: the first that
   * do, and none that could stay. Empty when there is room; null when all of them would not make it.
   */
  victims(nCells: number, candidates: readonly CellExtent[]): readonly CellExtent[] | null {
    const fits = (freed: readonly CellExtent[]): boolean =>
      merged([...this.#gaps, ...freed]).some(({ length }) => length >= nCells);
    let freed: CellExtent[] = [];
    for (const candidate of candidates) {
      if (fits(freed)) break;
      freed.push(candidate);
    }
    if (!fits(freed)) return null;
    for (const spared of freed.toReversed()) {
      const others = freed.filter((extent) => extent !== spared);
      if (fits(others)) freed = others;
    }
    return freed;
  }

  /** Which of `candidates` must be freed for `grow(extent, nCells)`; null when others are in the way. */
  victimsToGrow(extent: CellExtent, nCells: number, candidates: readonly CellExtent[]): readonly CellExtent[] | null {
    const from = extent.start + extent.length;
    const to = extent.start + nCells;
    const within = ({ start, length }: CellExtent): number =>
      Math.max(0, Math.min(start + length, to) - Math.max(start, from));
    const inTheWay = candidates.filter((other) => within(other) > 0);
    const nCovered = [...this.#gaps, ...inTheWay].reduce((sum, other) => sum + within(other), 0);
    return nCovered >= to - from ? inTheWay : null;
  }

  #rounded(nCells: number): number {
    return Math.ceil(nCells / this.#alignment) * this.#alignment;
  }

  #take(extent: CellExtent): CellExtent {
    this.#taken.add(extent);
    return extent;
  }

  #release(extent: CellExtent): void {
    if (!this.#taken.delete(extent))
      throw new Error(`cells ${extent.start} to ${extent.start + extent.length - 1} are not taken by this extent`);
  }
}

/** By start, adjacent ones joined. */
const merged = (gaps: readonly CellExtent[]): CellExtent[] => {
  const joined: CellExtent[] = [];
  for (const gap of gaps.toSorted((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last === undefined || last.start + last.length < gap.start) joined.push(gap);
    else joined[joined.length - 1] = { start: last.start, length: last.length + gap.length };
  }
  return joined;
};
