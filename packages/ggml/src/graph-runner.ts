/** What gives graphs their memory and computes them: one device, or several among which a scheduler deals them out. */
import type { Graph } from './graph.ts';

export interface GraphRunner extends Disposable {
  /** Of all its devices. */
  readonly nBytes: number;
  /** Graphs that `allocate` has placed. */
  readonly nPlaced: number;
  /** How many graphs placed here can be computed again in turn, the latest placed ones. */
  readonly placedMax: number;
  /** Grows the memory to what `graph` needs, without placing it. @throws OutOfMemoryError. */
  reserve(graph: Graph): void;
  /** Places every node. Inputs are written after it. @throws OutOfMemoryError. */
  allocate(graph: Graph): void;
  /** Blocks until a graph that was placed here is computed. @throws Error with ggml's status. */
  compute(graph: Graph): void;
}
