/** A thread pool of the CPU backend: without one, every graph starts and ends its threads anew. */
import koffi from 'koffi';
import type { ComputeTarget } from './backend.ts';
import type { Pointer } from './native.ts';

/** `GGML_MAX_N_THREADS`: length of the affinity mask in `ggml_threadpool_params`. */
const cpuMaskLength = 512;
const normalPriority = 0;
/** ggml's default: spin this hard (of 100) for work before sleeping. */
const pollLevel = 50;

/** A C function of the backend with a result, or null where this backend has none. */
const procedure = (
  device: ComputeTarget,
  name: string,
  prototype: string,
): ((...args: unknown[]) => unknown) | null => {
  const address = device.procAddress(name);
  return address === null ? null : koffi.decode(address, koffi.proto(prototype));
};

export class CpuThreads implements Disposable {
  readonly #free: () => void;

  private constructor(free: () => void) {
    this.#free = free;
  }

  /** Null when the device is not a CPU. */
  static attach(device: ComputeTarget, backend: Pointer, nThreads: number): CpuThreads | null {
    const create = procedure(device, 'ggml_threadpool_new', 'void *(void *params)');
    const free = procedure(device, 'ggml_threadpool_free', 'void(void *pool)');
    const use = procedure(device, 'ggml_backend_cpu_set_threadpool', 'void(void *backend, void *pool)');
    if (create === null || free === null || use === null) return null;
    // struct { bool cpumask[512]; int n_threads; enum prio; uint32_t poll; bool strict_cpu; bool paused; }
    const params = Buffer.alloc(cpuMaskLength + 16);
    params.writeInt32LE(nThreads, cpuMaskLength);
    params.writeInt32LE(normalPriority, cpuMaskLength + 4);
    params.writeUInt32LE(pollLevel, cpuMaskLength + 8);
    const pool = create(params);
    if (pool === null) return null;
    use(backend, pool);
    return new CpuThreads(() => free(pool));
  }

  [Symbol.dispose](): void {
    this.#free();
  }
}
