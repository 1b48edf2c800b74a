/**
 * The k largest logits of a vocabulary in one pass, without sorting it: a bounded min-heap whose root is the
 * smallest one kept. Among equal logits the lower id wins, so the result does not depend on the heap's history.
 */
import { nextAbove, notFinite } from './argmax.ts';

export class TopHeap {
  #values = new Float32Array(64);
  #ids = new Int32Array(64);
  /** How many are held, at most k: fewer when fewer logits are above -Infinity. */
  length = 0;

  id(index: number): number {
    return this.#ids[index] ?? -1;
  }

  value(index: number): number {
    return this.#values[index] ?? -Infinity;
  }

  /**
   * Replaces the content by the k largest of `logits[0 … nVocab)`; -Infinity is never kept. Heap order.
   * Throws `internal_error` on NaN and +Infinity.
   */
  collect(logits: Float32Array, nVocab: number, k: number): void {
    if (this.#values.length < k) {
      this.#values = new Float32Array(k);
      this.#ids = new Int32Array(k);
    }
    this.length = 0;
    let threshold = -Infinity;
    for (
      let id = nextAbove(logits, 0, nVocab, threshold);
      id < nVocab;
      id = nextAbove(logits, id + 1, nVocab, threshold)
    ) {
      const value = logits[id] ?? -Infinity;
      if (!(value < Infinity)) throw notFinite(id, value);
      if (this.length < k) {
        this.#siftUp(this.length++, value, id);
        if (this.length === k) threshold = this.value(0);
      } else {
        this.#siftDown(0, value, id, this.length);
        threshold = this.value(0);
      }
    }
  }

  /** Orders the content from largest to smallest. The heap is spent: `collect` again before the next use. */
  sortDescending(): void {
    for (let end = this.length - 1; end > 0; end--) {
      const value = this.value(end);
      const id = this.id(end);
      this.#place(end, this.value(0), this.id(0));
      this.#siftDown(0, value, id, end);
    }
  }

  #place(index: number, value: number, id: number): void {
    this.#values[index] = value;
    this.#ids[index] = id;
  }

  /** True when entry `index` leaves the heap before (value, id): smaller, or equal with a higher id. */
  #leavesBefore(index: number, value: number, id: number): boolean {
    const held = this.value(index);
    return held < value || (held === value && this.id(index) > id);
  }

  #siftUp(from: number, value: number, id: number): void {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.#leavesBefore(parent, value, id)) break;
      this.#place(index, this.value(parent), this.id(parent));
      index = parent;
    }
    this.#place(index, value, id);
  }

  #siftDown(from: number, value: number, id: number, end: number): void {
    let index = from;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= end) break;
      if (child + 1 < end && this.#leavesBefore(child + 1, this.value(child), this.id(child))) child++;
      if (!this.#leavesBefore(child, value, id)) break;
      this.#place(index, this.value(child), this.id(child));
      index = child;
    }
    this.#place(index, value, id);
  }
}
