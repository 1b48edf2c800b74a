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
    const length = Math.min(Math.ceil(nCells / this.#alignment) * this.#alignment, nGap);
    const rest = { start: start + length, length: nGap - length };
    this.#gaps.splice(this.#gaps.indexOf(best), 1, ...(rest.length > 0 ? [rest] : []));
    const extent = { start, length };
    this.#taken.add(extent);
    return extent;
  }

  /** @throws Error when `extent` is not one that `allocate` gave, or is free already. */
  free(extent: CellExtent): void {
    if (!this.#taken.delete(extent))
      throw new Error(`cells ${extent.start} to ${extent.start + extent.length - 1} are not taken by this extent`);
    let { start } = extent;
    let end = start + extent.length;
    const apart: CellExtent[] = [];
    for (const gap of this.#gaps) {
      if (gap.start + gap.length === start) start = gap.start;
      else if (gap.start === end) end += gap.length;
      else apart.push(gap);
    }
    this.#gaps = [...apart, { start, length: end - start }].sort((a, b) => a.start - b.start);
  }
}
