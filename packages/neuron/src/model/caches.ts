/** What sequences keep on the device: KV cells for attention layers, one state row a slot for recurrent ones. */
import {
  Buffer,
  Context,
  ops,
  tensorTypes,
  type BufferType,
  type GraphRunner,
  type Native,
  type Tensor,
  type TensorSplit,
  type TensorType,
} from '@cortex/ggml';
import type { LayerCache, LayerCacheTensors } from '../arch/arch.ts';
import type { GroupSplits } from './split-plan.ts';

export interface CacheSize {
  readonly nCells: number;
  readonly nSlots: number;
}

/** Bytes of KV cache that one token takes. */
export const kvBytesPerToken = (layers: readonly LayerCache[], kvType: TensorType): number =>
  layers.reduce(
    (sum, layer) =>
      layer.kind === 'attention' ? sum + 2 * layer.rowLength * (kvType.blockBytes / kvType.blockSize) : sum,
    0,
  );

/** Bytes of recurrent state that one sequence takes. */
export const stateBytesPerSlot = (layers: readonly LayerCache[]): number =>
  layers.reduce(
    (sum, layer) => (layer.kind === 'recurrent' ? sum + 4 * (layer.convLength + layer.stateLength) : sum),
    0,
  );

/** The host's allocator maps fresh, zeroed pages for blocks above its threshold; smaller ones may hold old data. */
const freshPagesBytes = 64 * 2 ** 20;

export interface CachePlace {
  readonly native: Native;
  readonly type: BufferType;
  /** The host's memory. */
  readonly isHost: boolean;
  /** How the devices of a group share the caches; null for a single device. */
  readonly splits: GroupSplits | null;
}

/** What a layer keeps, and where. */
export interface PlacedCache {
  readonly layer: LayerCache;
  readonly kvType: TensorType;
  /** Layers of one place share it. */
  readonly place: CachePlace;
}

/** Views of one tensor that a step of all slots makes: in a group they take room in the tensor's own context. */
const viewsPerSlot = 4;
const viewsPerStep = 8;
/** Views for which ggml has that room, a tensor. */
const viewsFree = 16;

/** The tensors of some layers, in a buffer. */
class CacheBuffer implements Disposable {
  readonly layers: readonly LayerCacheTensors[];
  readonly nBytes: number;
  readonly #context: Context;
  readonly #buffer: Buffer;

  /** @param firstLayer for the tensors' names. @throws OutOfMemoryError */
  constructor(
    { native, type, isHost, splits }: CachePlace,
    layers: readonly PlacedCache[],
    firstLayer: number,
    size: CacheSize,
  ) {
    const roomPerTensor = splits === null ? 1 : Math.ceil((viewsPerSlot * size.nSlots + viewsPerStep) / viewsFree);
    this.#context = new Context(native, { nTensorsMax: 2 * layers.length * roomPerTensor });
    const dealt = new Map<Tensor, TensorSplit>();
    const make = (rowLength: number, n: number, of: TensorType, name: string, split?: TensorSplit): Tensor => {
      const tensor = this.#context.tensor(of, [rowLength, n]).named(name);
      if (split !== undefined) dealt.set(tensor, split);
      return tensor;
    };
    this.layers = layers.map(({ layer, kvType }, n): LayerCacheTensors => {
      const i = firstLayer + n;
      const split = splits?.caches[i];
      if (layer.kind === 'attention') {
        return {
          kind: 'attention',
          keys: make(layer.rowLength, size.nCells, kvType, `cache_k_l${i}`, split?.first),
          values: make(layer.rowLength, size.nCells, kvType, `cache_v_l${i}`, split?.second),
        };
      }
      return {
        kind: 'recurrent',
        conv: make(layer.convLength, size.nSlots, tensorTypes.f32, `cache_r_l${i}`, split?.first),
        state: make(layer.stateLength, size.nSlots, tensorTypes.f32, `cache_s_l${i}`, split?.second),
      };
    });
    try {
      this.#buffer = Buffer.allocate(this.#context, type, 'any', dealt);
    } catch (error) {
      this.#context[Symbol.dispose]();
      throw error;
    }
    this.nBytes = this.#buffer.nBytes;
    // Masked cells are still read: they must hold finite numbers. Touching fresh zero pages would only cost memory.
    if (!isHost || this.nBytes < freshPagesBytes) this.#buffer.clear(0);
  }

  [Symbol.dispose](): void {
    this.#buffer[Symbol.dispose]();
    this.#context[Symbol.dispose]();
  }
}

interface Run {
  readonly first: number;
  readonly place: CachePlace;
  readonly layers: readonly PlacedCache[];
}

/** Layers that follow one another in one place, as many together as a buffer holds. */
const runsOfLayers = (layers: readonly PlacedCache[], { nCells, nSlots }: CacheSize): readonly Run[] => {
  const runs: (Run & { readonly layers: PlacedCache[]; nBytes: number })[] = [];
  layers.forEach((placed, i) => {
    const { layer, kvType, place } = placed;
    const nBytes = kvBytesPerToken([layer], kvType) * nCells + stateBytesPerSlot([layer]) * nSlots;
    const last = runs.at(-1);
    if (last?.place !== place || last.nBytes + nBytes > (place.type.pieceBytesMax ?? Infinity)) {
      runs.push({ first: i, place, layers: [placed], nBytes });
    } else {
      last.layers.push(placed);
      last.nBytes += nBytes;
    }
  });
  return runs;
};

export class Caches implements Disposable {
  readonly layers: readonly LayerCacheTensors[];
  readonly #buffers: CacheBuffer[] = [];
  /** A group of devices sets no bytes: zeros are written to it. */
  readonly #zeros: Uint8Array | null;

  /** @throws OutOfMemoryError */
  constructor(layers: readonly PlacedCache[], size: CacheSize) {
    try {
      for (const run of runsOfLayers(layers, size)) {
        this.#buffers.push(new CacheBuffer(run.place, run.layers, run.first, size));
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    this.layers = this.#buffers.flatMap((buffer) => buffer.layers);
    const rowBytesMax = this.#states.reduce((most, { nb }) => Math.max(most, nb[1]), 0);
    this.#zeros = layers.every(({ place }) => place.splits === null) ? null : new Uint8Array(rowBytesMax);
  }

  get nBytes(): number {
    return this.#buffers.reduce((sum, { nBytes }) => sum + nBytes, 0);
  }

  /** Forgets a sequence's recurrent state. KV cells need no clearing: the mask hides what is not the sequence's. */
  clearSlot(slot: number): void {
    for (const tensor of this.#states) {
      const offset = slot * tensor.nb[1];
      if (this.#zeros === null) tensor.fill(0, offset, tensor.nb[1]);
      else tensor.write(this.#zeros.subarray(0, tensor.nb[1]), offset);
    }
  }

  /** Copies n rows of every attention layer where they are; the two ranges may not overlap. */
  copyCells(runner: GraphRunner, from: number, to: number, n: number): void {
    const tensors = this.#cells;
    const [first] = tensors;
    if (first === undefined || n === 0) return;
    using ctx = new Context(first.context.native, { nTensorsMax: 3 * tensors.length, nNodesMax: 3 * tensors.length });
    const graph = ctx.graph();
    for (const tensor of tensors) {
      const rows = (cell: number): Tensor => ops.view(ctx, tensor, [tensor.ne[0], n], { offset: cell * tensor.nb[1] });
      graph.expand(ops.copyInto(ctx, rows(from), rows(to)));
    }
    runner.allocate(graph);
    runner.compute(graph);
  }

  /** Rows of every attention layer, layer after layer, keys before values. Returns the bytes they took. */
  readCells(first: number, n: number, into: Uint8Array): number {
    let at = 0;
    for (const tensor of this.#cells) {
      tensor.read(into.subarray(at, at + n * tensor.nb[1]), first * tensor.nb[1]);
      at += n * tensor.nb[1];
    }
    return at;
  }

  /** `from` holds `n` rows or more, `nHeld` of each layer, as `readCells` left them; the first `n` are written. */
  writeCells(first: number, n: number, from: Uint8Array, nHeld: number): void {
    let at = 0;
    for (const tensor of this.#cells) {
      tensor.write(from.subarray(at, at + n * tensor.nb[1]), first * tensor.nb[1]);
      at += nHeld * tensor.nb[1];
    }
  }

  /** A slot's recurrent state, layer after layer: `stateBytesPerSlot` bytes. */
  readState(slot: number, into: Uint8Array): void {
    let at = 0;
    for (const tensor of this.#states) {
      tensor.read(into.subarray(at, at + tensor.nb[1]), slot * tensor.nb[1]);
      at += tensor.nb[1];
    }
  }

  writeState(slot: number, from: Uint8Array): void {
    let at = 0;
    for (const tensor of this.#states) {
      tensor.write(from.subarray(at, at + tensor.nb[1]), slot * tensor.nb[1]);
      at += tensor.nb[1];
    }
  }

  get #cells(): readonly Tensor[] {
    return this.layers.flatMap((layer) => (layer.kind === 'attention' ? [layer.keys, layer.values] : []));
  }

  get #states(): readonly Tensor[] {
    return this.layers.flatMap((layer) => (layer.kind === 'recurrent' ? [layer.conv, layer.state] : []));
  }

  [Symbol.dispose](): void {
    for (const buffer of this.#buffers.splice(0)) buffer[Symbol.dispose]();
  }
}
