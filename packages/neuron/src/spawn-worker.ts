/**
 * The one place that starts a worker thread. Callers always name the worker's TypeScript source beside them,
 * `new URL('./pixel-worker.ts', import.meta.url)`, and get it running both from `src` and from the built `dist`.
 */
import { Worker, type ResourceLimits, type WorkerOptions } from 'node:worker_threads';

/**
 * For a thread that helps now and then. By itself V8 lets the young generation grow to 48 MiB, and an idle thread keeps
 * what it has grown to; tokenising takes no longer with this.
 */
export const helperLimits: ResourceLimits = { maxYoungGenerationSizeMb: 12 };

/** How a worker's module is started: a built file as it is, a source file through tsx. */
export type WorkerEntry =
  | { readonly kind: 'built'; readonly url: URL }
  | { readonly kind: 'source'; readonly url: URL };

/** `selfUrl` is this module's own address: its extension says whether the program runs from source or built. */
export const workerEntry = (url: URL, selfUrl: string): WorkerEntry => {
  if (!url.pathname.endsWith('.ts')) return { kind: 'built', url };
  if (new URL(selfUrl).pathname.endsWith('.ts')) return { kind: 'source', url };
  const built = new URL(url);
  built.pathname = built.pathname.replace(/\.ts$/, '.js');
  return { kind: 'built', url: built };
};

/**
 * A worker running the module at `url`. Messages posted before the module listens are kept for it; a module that
 * fails to load arrives as the worker's `error` event, as with `new Worker`.
 */
export const spawnWorker = (url: URL, options: Omit<WorkerOptions, 'eval'> = {}): Worker => {
  const entry = workerEntry(url, import.meta.url);
  if (entry.kind === 'built') return new Worker(entry.url, options);
  // Node 20 ignores loader hooks inherited by a worker, so tsx is registered from inside it; for the same reason the
  // parent's own `--import` flags stay out.
  const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const target = JSON.stringify(entry.url.href);
  const boot = `import(${tsx}).then((tsx) => { tsx.register(); return import(${target}); });`;
  const execArgv = ['--conditions=source', ...(options.execArgv ?? [])];
  return new Worker(boot, { ...options, eval: true, execArgv });
};
