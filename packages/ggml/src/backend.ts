/** An opened device: computes graphs. It belongs to the thread that opened it. */
import koffi from 'koffi';
import type { BufferType } from './buffer.ts';
import { CpuThreads } from './cpu-threads.ts';
import type { Graph } from './graph.ts';
import type { Native, Pointer } from './native.ts';
import type { DeviceType } from './types.ts';

/** What a backend computes on: a device, or several as one. */
export interface ComputeTarget {
  readonly native: Native;
  readonly name: string;
  readonly type: DeviceType;
  readonly bufferType: BufferType;
  /** Address of a backend's optional function, or null. */
  procAddress(name: string): Pointer | null;
}

const statusNames: Readonly<Record<string, string>> = {
  '-2': 'allocation failed',
  '-1': 'failed',
  '1': 'aborted',
};

/** @throws Error naming ggml's status, unless it is that all went well. */
export const checkComputed = (status: number, where: string): void => {
  if (status === 0) return;
  throw new Error(`${where}: computing a graph: ${statusNames[String(status)] ?? `status ${status}`}`);
};

export class Backend implements Disposable {
  readonly device: ComputeTarget;
  readonly #isLent: boolean;
  #ptr: Pointer | null;
  #threads: CpuThreads | null = null;

  constructor(device: ComputeTarget, ptr: Pointer, isLent = false) {
    this.device = device;
    this.#ptr = ptr;
    this.#isLent = isLent;
  }

  /** One that somebody else closes. */
  static lent(device: ComputeTarget, ptr: Pointer): Backend {
    return new Backend(device, ptr, true);
  }

  get ptr(): Pointer {
    if (this.#ptr === null) throw new Error(`device ${this.device.name} is closed`);
    return this.#ptr;
  }

  /** CPU threads to compute with, kept between graphs. No effect on a device that has none. */
  setThreads(n: number): void {
    const set = this.device.procAddress('ggml_backend_set_n_threads');
    if (set === null) return;
    koffi.call(set, koffi.proto('void(void *, int)'), this.ptr, n);
    this.#threads?.[Symbol.dispose]();
    this.#threads = CpuThreads.attach(this.device, this.ptr, n);
  }

  /** Blocks until the graph is computed. @throws Error with ggml's status. */
  compute(graph: Graph): void {
    checkComputed(this.device.native.ggml_backend_graph_compute(this.ptr, graph.ptr), this.device.name);
  }

  [Symbol.dispose](): void {
    if (this.#ptr === null) return;
    if (!this.#isLent) this.device.native.ggml_backend_free(this.#ptr);
    this.#ptr = null;
    this.#threads?.[Symbol.dispose]();
  }
}
