/** What a neuron holds, read from outside: the system's figures of its process, and those that it tells at `/metrics`. */
import { readdir, readFile } from 'node:fs/promises';

export interface Reading {
  /** Seconds since the first. */
  readonly atSecs: number;
  readonly rssMb: number;
  readonly heapMb: number;
  /** Memory of buffers outside V8's heap, of the main thread. */
  readonly externalMb: number;
  /** What the engine holds of ggml: contexts, buffers, allocators, and the bytes in them. */
  readonly nativeHandles: number;
  readonly nativeMb: number;
  readonly nFds: number;
  readonly nThreads: number;
  /** Longest 1 % of the turns of its event loop since the reading before, ms beyond the timer's own 10. */
  readonly loopP99Ms: number;
}

const mb = 2 ** 20;

/** Samples of one scrape by name and labels, as they are written: `name{label="value"}`. */
export type Scrape = ReadonlyMap<string, number>;

export const scrape = async (url: string): Promise<Scrape> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return new Map(
    text.split('\n').flatMap((line): [string, number][] => {
      const at = line.lastIndexOf(' ');
      return line.startsWith('#') || at === -1 ? [] : [[line.slice(0, at), Number(line.slice(at + 1))]];
    }),
  );
};

/** Of all label values. */
export const sumOf = (samples: Scrape, name: string): number =>
  [...samples].reduce((sum, [key, value]) => (key === name || key.startsWith(`${name}{`) ? sum + value : sum), 0);

const statusKb = (status: string, key: string): number =>
  Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1]);

export const readProcess = async (pid: number, url: string, startedMs: number): Promise<Reading> => {
  const samples = await scrape(url);
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return {
    atSecs: (performance.now() - startedMs) / 1000,
    rssMb: statusKb(status, 'VmRSS') / 1024,
    heapMb: sumOf(samples, 'nodejs_heap_size_used_bytes') / mb,
    externalMb: sumOf(samples, 'nodejs_external_memory_bytes') / mb,
    nativeHandles: sumOf(samples, 'neuron_device_native_handles'),
    nativeMb: sumOf(samples, 'neuron_device_native_bytes') / mb,
    nFds: (await readdir(`/proc/${pid}/fd`)).length,
    nThreads: Number(/^Threads:\s+(\d+)/m.exec(status)?.[1]),
    loopP99Ms: Math.max(0, sumOf(samples, 'nodejs_eventloop_lag_p99_seconds') * 1000 - 10),
  };
};
