/** A compute graph: nodes in the order they will run. It lives in its context. */
import type { Context } from './context.ts';
import type { Pointer } from './native.ts';
import type { Tensor } from './tensor.ts';

export class Graph {
  readonly context: Context;
  /** Nodes to be computed where another tensor lies, for a scheduler of several devices. */
  readonly pins = new Map<Tensor, Tensor>();
  readonly #ptr: Pointer;
  readonly #nNodesMax: number;

  constructor(context: Context, ptr: Pointer, nNodesMax: number) {
    this.context = context;
    this.#ptr = ptr;
    this.#nNodesMax = nNodesMax;
  }

  get ptr(): Pointer {
    this.context.assertAlive();
    return this.#ptr;
  }

  get nNodes(): number {
    return this.context.native.ggml_graph_n_nodes(this.ptr);
  }

  /**
   * Where there is a choice, `node` is computed on the device that has `beside`: a scheduler sees only the nodes that have
   * weights as operands, and would write a change made in place on another device than the one that has the tensor.
   */
  pin(node: Tensor, beside: Tensor): void {
    this.pins.set(node, beside);
  }

  /**
   * Nodes `from` to before `to` as a graph of their own in `context`, to be computed once those before them have been.
   * They use the memory that the whole graph was given.
   */
  slice(context: Context, from: number, to: number): Graph {
    const { native } = this.context;
    const part = context.graph();
    for (let i = from; i < to; i++) native.ggml_graph_add_node(part.ptr, native.ggml_graph_node(this.ptr, i));
    return part;
  }

  /** Appends `tensor` and all it needs that is not yet in the graph. */
  expand(tensor: Tensor): void {
    this.context.native.ggml_build_forward_expand(this.ptr, tensor.ptr);
    if (this.nNodes > this.#nNodesMax) throw new RangeError(`the graph is full: ${this.#nNodesMax} nodes`);
  }
}
