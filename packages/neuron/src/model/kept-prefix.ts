/** What remains of sequences for later ones: cells on the device, copies of cells and of recurrent states on the host. */
import type { ByteBlock, ByteBlocks } from './byte-blocks.ts';
import type { CellExtent } from './cell-extents.ts';
import type { HostCells, ParkedCells, SavedState } from './device-model.ts';

const closed = (what: string): Error => new Error(`${what} has been freed`);

/** The cells of a closed sequence, where they were. */
export class DeviceCells implements ParkedCells {
  readonly nTokens: number;
  readonly #extent: CellExtent;
  readonly #free: (extent: CellExtent) => void;
  #isOpen = true;

  constructor(extent: CellExtent, nTokens: number, free: (extent: CellExtent) => void) {
    this.#extent = extent;
    this.nTokens = nTokens;
    this.#free = free;
  }

  get extent(): CellExtent {
    if (!this.#isOpen) throw closed('the parked extent');
    return this.#extent;
  }

  /** Ends it; its extent goes on to another owner. */
  surrender(): CellExtent {
    const { extent } = this;
    this.#isOpen = false;
    return extent;
  }

  [Symbol.dispose](): void {
    if (this.#isOpen) this.#free(this.surrender());
  }
}

/** Bytes in blocks of a pool, given back at the end. */
class PooledBytes implements Disposable {
  readonly nTokens: number;
  readonly #pool: ByteBlocks;
  readonly #blocks: readonly ByteBlock[];
  #isOpen = true;

  constructor(pool: ByteBlocks, nTokens: number, blocks: readonly ByteBlock[]) {
    this.#pool = pool;
    this.nTokens = nTokens;
    this.#blocks = blocks;
  }

  get nBytes(): number {
    return this.#blocks.length * this.#pool.blockBytes;
  }

  get blocks(): readonly ByteBlock[] {
    if (!this.#isOpen) throw closed('the copy on the host');
    return this.#blocks;
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const block of this.#blocks) this.#pool.give(block);
  }
}

/** KV rows of a sequence's first tokens, block after block. */
export class CellsOnHost extends PooledBytes implements HostCells {}

/** What goes on with a sequence beside its recurrent rows. */
export interface SequenceState {
  readonly nPast: number;
  readonly ropeDelta: number;
  readonly hidden: Float32Array | null;
}

/** The recurrent rows of one slot, in one block; none of a model without recurrence. */
export class StateOnHost extends PooledBytes implements SavedState {
  readonly ropeDelta: number;
  readonly hidden: Float32Array | null;

  constructor(pool: ByteBlocks, blocks: readonly ByteBlock[], { nPast, ropeDelta, hidden }: SequenceState) {
    super(pool, nPast, blocks);
    this.ropeDelta = ropeDelta;
    this.hidden = hidden;
  }
}
