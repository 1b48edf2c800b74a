/**
 * Memory for the intermediate results of graphs on one device, planned so that results that are no longer needed give
 * their place to later ones. Inputs are written after `allocate`, never before.
 */
import type { Backend } from './backend.ts';
import { OutOfMemoryError, type BufferType } from './buffer.ts';
import type { Graph } from './graph.ts';
import type { GraphRunner } from './graph-runner.ts';
import { noteFreed, noteHeld } from './holdings.ts';
import type { Native, Pointer } from './native.ts';

export class GraphAllocator implements Disposable {
  readonly #native: Native;
  readonly #type: BufferType;
  #ptr: Pointer | null;
  /** Graphs that `allocate` has placed. */
  nPlaced = 0;

  constructor(native: Native, type: BufferType) {
    const ptr = native.ggml_gallocr_new(type.ptr);
    if (ptr === null) throw new Error(`cannot make a graph allocator for ${type.name}`);
    this.#native = native;
    this.#type = type;
    this.#ptr = ptr;
    noteHeld(this);
  }

  get #alive(): Pointer {
    if (this.#ptr === null) throw new Error('the graph allocator has been freed');
    return this.#ptr;
  }

  get nBytes(): number {
    return this.#native.ggml_gallocr_get_buffer_size(this.#alive, 0);
  }

  /** Bytes that a buffer of `type` for this graph would take; allocates nothing. */
  static sizeFor(native: Native, type: BufferType, graph: Graph): number {
    using allocator = new GraphAllocator(native, type);
    const sizes = new BigInt64Array(1);
    native.ggml_gallocr_reserve_n_size(allocator.#alive, graph.ptr, null, null, sizes);
    return Number(sizes[0]);
  }

  /** Grows the memory to what `graph` needs, without placing it. @throws OutOfMemoryError. */
  reserve(graph: Graph): void {
    if (!this.#native.ggml_gallocr_reserve(this.#alive, graph.ptr)) throw new OutOfMemoryError(this.#type.name, 0);
  }

  /** Places every node of the graph. A graph placed before keeps its place only until the memory must grow. */
  allocate(graph: Graph): void {
    if (!this.#native.ggml_gallocr_alloc_graph(this.#alive, graph.ptr)) throw new OutOfMemoryError(this.#type.name, 0);
    graph.context.hasMemory = true;
    this.nPlaced += 1;
  }

  [Symbol.dispose](): void {
    if (this.#ptr === null) return;
    this.#native.ggml_gallocr_free(this.#ptr);
    this.#ptr = null;
    noteFreed(this);
  }
}

/** Runs graphs on one device, or on a group that is one to ggml. */
export class DeviceRunner extends GraphAllocator implements GraphRunner {
  readonly placedMax: number;
  readonly #backend: Backend;

  constructor(backend: Backend, type: BufferType) {
    const { native, type: kind } = backend.device;
    super(native, type);
    this.placedMax = kind === 'meta' ? 1 : Infinity;
    this.#backend = backend;
  }

  compute(graph: Graph): void {
    this.#backend.compute(graph);
  }
}
