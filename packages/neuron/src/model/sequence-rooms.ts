/**
 * Who has which cells and slots of a model's caches. Cells are in exactly one of: free, of an open sequence, parked.
 * A slot is free or of an open sequence.
 */
import { CellExtents, type CellExtent } from './cell-extents.ts';
import { DeviceCells } from './kept-prefix.ts';
import { Sequence } from './sequence.ts';

export class SequenceRooms {
  readonly #extents: CellExtents;
  readonly #freeSlots: number[];
  readonly #free = (extent: CellExtent): void => this.#extents.free(extent);

  constructor(nCells: number, alignment: number, nSlots: number) {
    this.#extents = new CellExtents(nCells, alignment);
    this.#freeSlots = Array.from({ length: nSlots }, (_, slot) => slot).toReversed();
  }

  /** Null when there is no slot or no gap of so many cells. */
  open(nTokensMax: number): Sequence | null {
    if (this.#freeSlots.length === 0) return null;
    const extent = this.#extents.allocate(nTokensMax);
    return extent === null ? null : this.#sequence(extent, nTokensMax);
  }

  reopen(cells: DeviceCells, nTokensMax: number): Sequence | null {
    if (this.#freeSlots.length === 0) return null;
    const extent = this.#extents.grow(cells.extent, nTokensMax);
    if (extent === null) return null;
    cells.surrender();
    return this.#sequence(extent, nTokensMax);
  }

  /** Closes the sequence but for the cells it has computed. */
  park(sequence: Sequence): DeviceCells {
    const { nPast } = sequence;
    this.#freeSlots.push(sequence.slot);
    return new DeviceCells(this.#extents.shrink(sequence.surrender(), nPast), nPast, this.#free);
  }

  victims(nTokensMax: number, candidates: readonly DeviceCells[], cells?: DeviceCells): readonly DeviceCells[] | null {
    if (this.#freeSlots.length === 0) return null;
    const extents = candidates.map(({ extent }) => extent);
    const chosen =
      cells === undefined
        ? this.#extents.victims(nTokensMax, extents)
        : this.#extents.victimsToGrow(cells.extent, nTokensMax, extents);
    return chosen === null ? null : candidates.filter(({ extent }) => chosen.includes(extent));
  }

  #sequence(extent: CellExtent, nTokensMax: number): Sequence {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) throw new Error('the slots have run out');
    return new Sequence({ nTokensMax, slot, extent }, (sequence) => {
      this.#extents.free(sequence.extent);
      this.#freeSlots.push(sequence.slot);
    });
  }
}
