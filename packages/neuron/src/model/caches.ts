/** What sequences keep on the device: KV cells for attention layers, one state row a slot for recurrent ones. */
import {
  Buffer,
  Context,
  ops,
  tensorTypes,
  type Backend,
  type BufferType,
  type GraphAllocator,
  type Native,
  type Tensor,
  type TensorType,
} from '@cortex/ggml';
import type { LayerCache, LayerCacheTensors } from '../arch/arch.ts';

export interface CacheSize {
  readonly kvType: TensorType;
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

export class Caches implements Disposable {
  readonly layers: readonly LayerCacheTensors[];
  readonly nBytes: number;
  readonly #context: Context;
  readonly #buffer: Buffer;

  /** @throws OutOfMemoryError */
  constructor(native: Native, type: BufferType, layers: readonly LayerCache[], size: CacheSize, isHost: boolean) {
    this.#context = new Context(native, { nTensorsMax: 2 * layers.length });
    const make = (rowLength: number, n: number, of: TensorType, name: string): Tensor =>
      this.#context.tensor(of, [rowLength, n]).named(name);
    this.layers = layers.map((layer, i): LayerCacheTensors => {
      if (layer.kind === 'attention') {
        return {
          kind: 'attention',
          keys: make(layer.rowLength, size.nCells, size.kvType, `cache_k_l${i}`),
          values: make(layer.rowLength, size.nCells, size.kvType, `cache_v_l${i}`),
        };
      }
      return {
        kind: 'recurrent',
        conv: make(layer.convLength, size.nSlots, tensorTypes.f32, `cache_r_l${i}`),
        state: make(layer.stateLength, size.nSlots, tensorTypes.f32, `cache_s_l${i}`),
      };
    });
    try {
      this.#buffer = Buffer.allocate(this.#context, type);
    } catch (error) {
      this.#context[Symbol.dispose]();
      throw error;
    }
    this.nBytes = this.#buffer.nBytes;
    // Masked cells are still read: they must hold finite numbers. Touching fresh zero pages would only cost memory.
    if (!isHost || this.nBytes < freshPagesBytes) this.#buffer.clear(0);
  }

  /** Forgets a sequence's recurrent state. KV cells need no clearing: the mask hides what is not the sequence's. */
  clearSlot(slot: number): void {
    for (const tensor of this.#states) tensor.fill(0, slot * tensor.nb[1], tensor.nb[1]);
  }

  /** Copies n rows of every attention layer within the device; the two ranges may not overlap. */
  copyCells(backend: Backend, allocator: GraphAllocator, from: number, to: number, n: number): void {
    const tensors = this.#cells;
    if (tensors.length === 0 || n === 0) return;
    using ctx = new Context(backend.device.native, { nTensorsMax: 3 * tensors.length, nNodesMax: 3 * tensors.length });
    const graph = ctx.graph();
    for (const tensor of tensors) {
      const rows = (first: number): Tensor =>
        ops.view(ctx, tensor, [tensor.ne[0], n], { offset: first * tensor.nb[1] });
      graph.expand(ops.copyInto(ctx, rows(from), rows(to)));
    }
    allocator.allocate(graph);
    backend.compute(graph);
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
    this.#buffer[Symbol.dispose]();
    this.#context[Symbol.dispose]();
  }
}
