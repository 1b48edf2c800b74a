/**
 * Runs graphs whose weights and caches lie on several devices (ggml's scheduler): each node is computed where its weight or
 * the tensor that it writes lies, others beside their neighbours, and what a device needs of another's results is copied.
 *
 * Placing a graph puts copies in the place of its operands: only the one placed last can be computed.
 */
import koffi from 'koffi';
import { checkComputed, type Backend } from './backend.ts';
import { OutOfMemoryError } from './buffer.ts';
import type { Graph } from './graph.ts';
import type { GraphRunner } from './graph-runner.ts';
import { noteFreed, noteHeld } from './holdings.ts';
import type { Native, Pointer } from './native.ts';
import type { Tensor } from './tensor.ts';

/** `GGML_SCHED_MAX_BACKENDS` */
const devicesMax = 16;

/** Where `struct ggml_backend_sched` has `is_reset`. */
const isResetOffset = 0;

export interface SchedulerSize {
  readonly nNodesMax: number;
  /** Weights, caches and inputs that one graph may have. */
  readonly nLeafsMax: number;
}

export class GraphScheduler implements GraphRunner {
  readonly placedMax = 1;
  /** Graphs that `allocate` has placed. */
  nPlaced = 0;
  readonly #native: Native;
  readonly #members: readonly Backend[];
  readonly #name: string;
  readonly #nNodesMax: number;
  #ptr: Pointer | null;

  /** @param members opened devices, a CPU last: it computes what no other can. @throws RangeError. */
  constructor(members: readonly Backend[], { nNodesMax, nLeafsMax }: SchedulerSize) {
    const host = members.at(-1);
    if (host?.device.type !== 'cpu' || members.length > devicesMax) {
      throw new RangeError(`a scheduler of ${members.length} devices: 1 to ${devicesMax}, the last of them a CPU`);
    }
    this.#native = host.device.native;
    this.#members = members;
    this.#name = members.map(({ device }) => device.name).join('+');
    this.#nNodesMax = nNodesMax;
    const backends = BigInt64Array.from(members, ({ ptr }) => ptr);
    const types = BigInt64Array.from(members, ({ device }) => device.bufferType.ptr);
    const size = nNodesMax + nLeafsMax;
    this.#ptr = this.#native.ggml_backend_sched_new(backends, types, members.length, size, false, false);
    noteHeld(this);
  }

  get #alive(): Pointer {
    if (this.#ptr === null) throw new Error('the graph scheduler has been freed');
    return this.#ptr;
  }

  get nBytes(): number {
    const bytesOn = ({ ptr }: Backend): number => this.#native.ggml_backend_sched_get_buffer_size(this.#alive, ptr);
    return this.#members.reduce((sum, member) => sum + bytesOn(member), 0);
  }

  reserve(graph: Graph): void {
    this.#prepare(graph);
    if (!this.#native.ggml_backend_sched_reserve(this.#alive, graph.ptr)) throw new OutOfMemoryError(this.#name, 0);
  }

  /** Bytes of each member's memory that `reserve` would take for this graph; allocates nothing. */
  measure(graph: Graph): readonly number[] {
    this.#prepare(graph);
    // ggml measures after a reset, which would forget where nodes are to be, unless the scheduler counts as reset.
    koffi.encode(this.#alive, isResetOffset, 'bool', true);
    const sizes = new BigInt64Array(this.#members.length);
    this.#native.ggml_backend_sched_reserve_size(this.#alive, graph.ptr, sizes);
    return Array.from(sizes, Number);
  }

  allocate(graph: Graph): void {
    this.#prepare(graph);
    if (!this.#native.ggml_backend_sched_alloc_graph(this.#alive, graph.ptr)) throw new OutOfMemoryError(this.#name, 0);
    graph.context.hasMemory = true;
    this.nPlaced += 1;
  }

  compute(graph: Graph): void {
    checkComputed(this.#native.ggml_backend_sched_graph_compute(this.#alive, graph.ptr), this.#name);
  }

  #prepare(graph: Graph): void {
    if (graph.nNodes > this.#nNodesMax) throw new RangeError(`a graph of ${graph.nNodes} nodes: ${this.#nNodesMax}`);
    this.#native.ggml_backend_sched_reset(this.#alive);
    for (const [node, beside] of graph.pins) {
      this.#native.ggml_backend_sched_set_tensor_backend(this.#alive, node.ptr, this.#memberWith(beside).ptr);
    }
  }

  /** Memory of any other kind is the host's. */
  #memberWith({ context }: Tensor): Backend {
    const name = context.bufferType?.name;
    const member = this.#members.find(({ device }) => device.bufferType.name === name) ?? this.#members.at(-1);
    if (member === undefined) throw new Error('a scheduler has devices');
    return member;
  }

  [Symbol.dispose](): void {
    if (this.#ptr === null) return;
    noteFreed(this);
    this.#native.ggml_backend_sched_free(this.#ptr);
    this.#ptr = null;
  }
}
