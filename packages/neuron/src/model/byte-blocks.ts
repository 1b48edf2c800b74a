/**
 * Host memory in blocks of one size. What is given back is used again, and freed with the whole: the collector's pace
 * decides nothing, so a budget of blocks is a limit on memory.
 */
import { HostMemory } from '@cortex/ggml';

/** Asked of the system at once, unless a block is larger: it maps no more than some ten thousand pieces for a process. */
const pieceBytes = 4 * 2 ** 20;

/** Part of a piece. Until it is written to, it takes no memory but addresses. */
export class ByteBlock {
  readonly #piece: HostMemory;
  readonly #offset: number;
  readonly #nBytes: number;

  constructor(piece: HostMemory, offset: number, nBytes: number) {
    this.#piece = piece;
    this.#offset = offset;
    this.#nBytes = nBytes;
  }

  /** The memory itself. @throws Error once it has been freed. */
  get bytes(): Uint8Array {
    return this.#piece.bytes.subarray(this.#offset, this.#offset + this.#nBytes);
  }
}

export class ByteBlocks implements Disposable {
  readonly blockBytes: number;
  readonly #pieces: HostMemory[] = [];
  readonly #free: ByteBlock[] = [];

  constructor(blockBytes: number) {
    this.blockBytes = blockBytes;
  }

  /** Its content is whatever was there. @throws OutOfMemoryError */
  take(): ByteBlock {
    return this.#free.pop() ?? this.#takeFromNew();
  }

  #takeFromNew(): ByteBlock {
    const nBlocks = Math.max(1, Math.floor(pieceBytes / this.blockBytes));
    const piece = new HostMemory(nBlocks * this.blockBytes);
    this.#pieces.push(piece);
    for (let i = nBlocks - 1; i > 0; i--) {
      this.#free.push(new ByteBlock(piece, i * this.blockBytes, this.blockBytes));
    }
    return new ByteBlock(piece, 0, this.blockBytes);
  }

  give(block: ByteBlock): void {
    this.#free.push(block);
  }

  /** Frees those that were not given back, too. */
  [Symbol.dispose](): void {
    for (const piece of this.#pieces.splice(0)) piece[Symbol.dispose]();
    this.#free.length = 0;
  }
}
