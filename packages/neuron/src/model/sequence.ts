/** One sequence's room in a model's caches. */
import type { CellExtent } from './cell-extents.ts';
import type { ModelSequence } from './device-model.ts';

export class Sequence implements ModelSequence {
  readonly nTokensMax: number;
  slot: number;
  readonly extent: CellExtent;
  nPast = 0;
  /** The last of them whose cells are computed but which the recurrent state does not know yet. */
  behind: readonly number[] = [];
  /** Final hidden state of its last token, where there is a predictor to read it. */
  hidden: Float32Array | null = null;
  /** The same of the last token before those that it is behind by. */
  hiddenBefore: Float32Array | null = null;
  /** What a position is ahead of its index, once images have been seen: at most 0. */
  ropeDelta = 0;
  readonly #free: (sequence: Sequence) => void;
  #isOpen = true;

  constructor(place: { nTokensMax: number; slot: number; extent: CellExtent }, free: (sequence: Sequence) => void) {
    this.nTokensMax = place.nTokensMax;
    this.slot = place.slot;
    this.extent = place.extent;
    this.#free = free;
  }

  /** @throws Error when it is closed, or when the step does not follow what was computed. */
  checkStep(offset: number, nTokens: number): void {
    if (!this.#isOpen) throw new Error('the sequence has been closed');
    if (offset !== this.nPast) throw new RangeError(`a step at ${offset} after ${this.nPast} tokens`);
    if (nTokens < 1 || offset + nTokens > this.nTokensMax) {
      throw new RangeError(`${nTokens} tokens at ${offset} in a sequence of ${this.nTokensMax}`);
    }
  }

  /** Ends it; its extent goes on to another owner. @throws Error when it is closed. */
  surrender(): CellExtent {
    if (!this.#isOpen) throw new Error('the sequence has been closed');
    this.#isOpen = false;
    return this.extent;
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#free(this);
  }
}
