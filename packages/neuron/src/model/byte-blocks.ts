/**
 * Host memory in blocks of one size. What is given back is used again, and freed with the whole: the collector's pace
 * decides nothing, so a budget of blocks is a limit on memory.
 */
import { HostMemory } from '@cortex/ggml';

export class ByteBlocks implements Disposable {
  readonly blockBytes: number;
  readonly #all: HostMemory[] = [];
  readonly #free: HostMemory[] = [];

  constructor(blockBytes: number) {
    this.blockBytes = blockBytes;
  }

  /** Its content is whatever was there. @throws OutOfMemoryError */
  take(): HostMemory {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const block = new HostMemory(this.blockBytes);
    this.#all.push(block);
    return block;
  }

  give(block: HostMemory): void {
    this.#free.push(block);
  }

  /** Frees those that were not given back, too. */
  [Symbol.dispose](): void {
    for (const block of this.#all.splice(0)) block[Symbol.dispose]();
    this.#free.length = 0;
  }
}
