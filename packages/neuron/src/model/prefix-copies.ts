/** `KeptPrefixes` of a model: rooms decide who has cells, the caches copy what is in them. */
import { OutOfMemoryError, type GraphRunner } from '@cortex/ggml';
import { ByteBlocks, type ByteBlock } from './byte-blocks.ts';
import type { Caches } from './caches.ts';
import type { HostCells, KeptPrefixes, ModelSequence, ParkedCells, SavedState } from './device-model.ts';
import { CellsOnHost, DeviceCells, StateOnHost } from './kept-prefix.ts';
import type { SequenceRooms } from './sequence-rooms.ts';
import { Sequence } from './sequence.ts';

/** Tokens in a block of copied cells: small enough that a short prefix takes little. */
const blockTokens = 64;

export interface PrefixCopiesParts {
  readonly runner: GraphRunner;
  readonly caches: Caches;
  readonly rooms: SequenceRooms;
  readonly kvBytesPerToken: number;
  readonly stateBytes: number;
  /** Brings a sequence's recurrent state up to its past. */
  readonly settle: (sequence: Sequence) => void;
}

type Past = Parameters<KeptPrefixes['resume']>[1];

export class PrefixCopies implements KeptPrefixes, Disposable {
  readonly stateBytes: number;
  readonly #parts: PrefixCopiesParts;
  readonly #cellBlocks: ByteBlocks;
  readonly #stateBlocks: ByteBlocks;

  constructor(parts: PrefixCopiesParts) {
    this.#parts = parts;
    this.stateBytes = parts.stateBytes;
    this.#cellBlocks = new ByteBlocks(blockTokens * parts.kvBytesPerToken);
    this.#stateBlocks = new ByteBlocks(parts.stateBytes);
  }

  hostBytes(nTokens: number): number {
    return Math.ceil(nTokens / blockTokens) * this.#cellBlocks.blockBytes;
  }

  park(sequence: ModelSequence): ParkedCells {
    return this.#parts.rooms.park(ownSequence(sequence));
  }

  reopen(cells: ParkedCells, nTokensMax: number): ModelSequence | null {
    const sequence = this.#parts.rooms.reopen(ownCells(cells), nTokensMax);
    if (sequence !== null) this.#parts.caches.clearSlot(sequence.slot);
    return sequence;
  }

  victims(nTokensMax: number, candidates: readonly ParkedCells[], cells?: ParkedCells): readonly ParkedCells[] | null {
    const own = cells === undefined ? undefined : ownCells(cells);
    return this.#parts.rooms.victims(nTokensMax, candidates.map(ownCells), own);
  }

  saveState(sequence: ModelSequence): SavedState | null {
    const own = ownSequence(sequence);
    this.#parts.settle(own);
    const blocks = takeAll(this.#stateBlocks, this.stateBytes > 0 ? 1 : 0);
    if (blocks === null) return null;
    for (const { bytes } of blocks) this.#parts.caches.readState(own.slot, bytes);
    return new StateOnHost(this.#stateBlocks, blocks, own);
  }

  toHost(cells: ParkedCells): HostCells | null {
    const { extent, nTokens } = ownCells(cells);
    const blocks = takeAll(this.#cellBlocks, Math.ceil(nTokens / blockTokens));
    if (blocks === null) return null;
    blocks.forEach(({ bytes }, i) => {
      const first = i * blockTokens;
      this.#parts.caches.readCells(extent.start + first, Math.min(blockTokens, nTokens - first), bytes);
    });
    return new CellsOnHost(this.#cellBlocks, nTokens, blocks);
  }

  resume(sequence: ModelSequence, { nTokens, cells, state }: Past): void {
    const own = ownSequence(sequence);
    if (own.nPast >= nTokens) throw new RangeError(`the sequence has ${own.nPast} tokens already`);
    if (nTokens > own.nTokensMax) throw new RangeError(`${nTokens} tokens in a sequence of ${own.nTokensMax}`);
    if (this.stateBytes > 0 && state?.nTokens !== nTokens) {
      throw new RangeError(`a state of ${state?.nTokens ?? 'no'} tokens for a past of ${nTokens}`);
    }
    this.#fill(own, cells, nTokens);
    if (state !== null) this.#restore(own, state);
    own.nPast = nTokens;
  }

  #fill(to: Sequence, cells: Past['cells'], nTokens: number): void {
    if (cells === null) return;
    if (cells instanceof CellsOnHost) return this.#upload(to, cells, nTokens);
    const { runner, caches } = this.#parts;
    const held = cells instanceof Sequence ? cells.nPast : ownCells(cells).nTokens;
    if (held < nTokens) throw new RangeError(`${nTokens} tokens of a past of ${held}`);
    const { extent } = cells instanceof Sequence ? cells : ownCells(cells);
    caches.copyCells(runner, extent.start, to.extent.start, nTokens);
  }

  #upload(to: Sequence, cells: CellsOnHost, nTokens: number): void {
    if (cells.nTokens < nTokens) throw new RangeError(`${nTokens} tokens of a past of ${cells.nTokens}`);
    cells.blocks.forEach((block, i) => {
      const first = i * blockTokens;
      const n = Math.min(blockTokens, nTokens - first);
      const nHeld = Math.min(blockTokens, cells.nTokens - first);
      if (n > 0) this.#parts.caches.writeCells(to.extent.start + first, n, block.bytes, nHeld);
    });
  }

  #restore(to: Sequence, state: SavedState): void {
    if (!(state instanceof StateOnHost)) throw new TypeError('a state of another model');
    for (const { bytes } of state.blocks) this.#parts.caches.writeState(to.slot, bytes);
    to.ropeDelta = state.ropeDelta;
    to.hidden = state.hidden;
  }

  /** Frees what is on the host, whoever still has it. */
  [Symbol.dispose](): void {
    this.#cellBlocks[Symbol.dispose]();
    this.#stateBlocks[Symbol.dispose]();
  }
}

/** Null where the host has no memory for so many. */
const takeAll = (pool: ByteBlocks, n: number): readonly ByteBlock[] | null => {
  const blocks: ByteBlock[] = [];
  try {
    while (blocks.length < n) blocks.push(pool.take());
    return blocks;
  } catch (error) {
    for (const block of blocks) pool.give(block);
    if (error instanceof OutOfMemoryError) return null;
    throw error;
  }
};

const ownSequence = (sequence: ModelSequence): Sequence => {
  if (sequence instanceof Sequence) return sequence;
  throw new TypeError('a sequence of another model');
};

const ownCells = (cells: ModelSequence | ParkedCells | HostCells): DeviceCells => {
  if (cells instanceof DeviceCells) return cells;
  throw new TypeError('cells of another model');
};
