/**
 * A ggml context without data: the arena that tensors' and graphs' metadata live in. Freeing it kills every handle
 * made in it; their data belongs to a buffer or a graph allocator.
 */
import type { BufferType } from './buffer.ts';
import { Graph } from './graph.ts';
import { noteFreed, noteHeld } from './holdings.ts';
import type { Native, Pointer } from './native.ts';
import { contiguousStrides, shapeOf, shapeText, Tensor } from './tensor.ts';
import type { TensorType } from './types.ts';

export interface ContextSize {
  /** Tensors, graph nodes and views included. */
  readonly nTensorsMax: number;
  /** Nodes of the one graph that may be made in it; 0 for none. */
  readonly nNodesMax?: number;
}

export class Context implements Disposable {
  readonly native: Native;
  /** Its tensors' data is in buffers. */
  readonly nBytes = 0;
  readonly #nTensorsMax: number;
  readonly #nNodesMax: number;
  #nTensors = 0;
  #ptr: Pointer | null;
  /** Whether its tensors have memory now. Set by whoever gives it and takes it back. */
  hasMemory = false;
  /** Of the buffer that all its tensors are in; null where they are in none, or in memory that somebody has mapped. */
  bufferType: BufferType | null = null;

  constructor(native: Native, { nTensorsMax, nNodesMax = 0 }: ContextSize) {
    const graphBytes = nNodesMax === 0 ? 0 : native.ggml_graph_overhead_custom(nNodesMax, false);
    const memSize = nTensorsMax * native.ggml_tensor_overhead() + graphBytes;
    const ptr = native.ggml_init({ mem_size: memSize, mem_buffer: null, no_alloc: true });
    if (ptr === null) throw new Error(`cannot allocate a ggml context of ${memSize} bytes`);
    this.native = native;
    this.#nTensorsMax = nTensorsMax;
    this.#nNodesMax = nNodesMax;
    this.#ptr = ptr;
    noteHeld(this);
  }

  assertAlive(): void {
    if (this.#ptr === null) throw new Error('the ggml context of this handle has been freed');
  }

  get ptr(): Pointer {
    if (this.#ptr === null) throw new Error('the ggml context has been freed');
    return this.#ptr;
  }

  /** @throws RangeError for a bad shape, or a row that is no whole number of blocks. */
  tensor(type: TensorType, dims: readonly number[]): Tensor {
    const ne = shapeOf(dims);
    if (ne[0] % type.blockSize !== 0) {
      throw new RangeError(`new tensor ${shapeText(ne)}: rows of ${type.name} are multiples of ${type.blockSize}`);
    }
    this.claim();
    const ptr = this.native.ggml_new_tensor_4d(this.ptr, type.id, ...ne);
    return new Tensor(this, ptr, type, ne, contiguousStrides(type, ne));
  }

  /** The handle of a node that an operation has just made here. */
  adopt(ptr: Pointer, type: TensorType, ne: Tensor['ne'], nb: Tensor['nb'] = contiguousStrides(type, ne)): Tensor {
    return new Tensor(this, ptr, type, ne, nb);
  }

  /** Counts one more tensor. Called before each native call that makes one: a full arena would end the process. */
  claim(): void {
    this.assertAlive();
    if (this.#nTensors >= this.#nTensorsMax) {
      throw new RangeError(`the ggml context is full: it was made for ${this.#nTensorsMax} tensors`);
    }
    this.#nTensors += 1;
  }

  graph(): Graph {
    if (this.#nNodesMax === 0) throw new Error('this context was made without room for a graph');
    return new Graph(this, this.native.ggml_new_graph_custom(this.ptr, this.#nNodesMax, false), this.#nNodesMax);
  }

  [Symbol.dispose](): void {
    if (this.#ptr === null) return;
    this.native.ggml_free(this.#ptr);
    this.#ptr = null;
    noteFreed(this);
  }
}
