/**
 * Host memory in blocks of one size. What is given back is used again and never freed: the collector's pace decides
 * nothing, so a budget of blocks is a limit on memory.
 */

export class ByteBlocks {
  readonly blockBytes: number;
  readonly #free: Uint8Array[] = [];

  constructor(blockBytes: number) {
    this.blockBytes = blockBytes;
  }

  /** Its content is whatever was there. */
  take(): Uint8Array {
    return this.#free.pop() ?? new Uint8Array(this.blockBytes);
  }

  give(block: Uint8Array): void {
    this.#free.push(block);
  }
}
