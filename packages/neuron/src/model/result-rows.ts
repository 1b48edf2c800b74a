/**
 * Where on the host the results of steps are read to. A batch's logits are megabytes: into the same memory each time they
 * cost a copy, into new memory its pages and the garbage collector's work besides.
 */
import type { Tensor } from '@cortex/ggml';

export class ResultRows {
  readonly #nKeptMax: number;
  #kept = new Float32Array(0);

  /** @param nKeptMax values; larger results, such as all rows of a chunk, get memory of their own. */
  constructor(nKeptMax: number) {
    this.#nKeptMax = nKeptMax;
  }

  /** All of an f32 tensor, valid until the next call. */
  read(tensor: Tensor): Float32Array {
    const n = tensor.nElements;
    if (n > this.#nKeptMax) return tensor.read(new Float32Array(n));
    if (n > this.#kept.length) this.#kept = new Float32Array(n);
    return tensor.read(this.#kept.subarray(0, n));
  }
}
