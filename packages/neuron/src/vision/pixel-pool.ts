/**
 * The worker threads that decode, resize and cut images, so that no pixel is touched on the main thread. Threads start
 * when first needed. Each job ends exactly once: prepared, failed, or aborted; a thread that dies fails only its job.
 */
import type { Worker } from 'node:worker_threads';
import { CortexError } from '@cortex/core';
import { helperLimits, spawnWorker } from '../spawn-worker.ts';
import type { PixelAnswer, PixelJob } from './pixel-job.ts';
import type { PreparedImage } from './prepare-image.ts';

export interface PixelPoolOptions {
  readonly threadsMax: number;
  /** Jobs waiting for a thread, over all requests. */
  readonly queueMax: number;
}

interface PendingJob {
  readonly job: PixelJob;
  readonly resolve: (image: PreparedImage) => void;
  readonly reject: (reason: unknown) => void;
  readonly signal: AbortSignal | undefined;
  readonly abort: () => void;
}

interface Thread {
  readonly worker: Worker;
  pending: PendingJob | null;
}

/** Starts a thread that answers each `PixelJob` with one `PixelAnswer`. */
type SpawnThread = (name: string) => Worker;

const spawnPixelWorker: SpawnThread = (name) =>
  spawnWorker(new URL('./pixel-worker.ts', import.meta.url), { name, resourceLimits: helperLimits });

const closedError = (): CortexError => new CortexError('overloaded', 'the neuron is shutting down');

export class PixelPool {
  readonly #options: PixelPoolOptions;
  readonly #spawn: SpawnThread;
  readonly #threads = new Set<Thread>();
  readonly #queue: PendingJob[] = [];
  #nStarted = 0;
  #closed = false;

  constructor(options: PixelPoolOptions, spawn: SpawnThread = spawnPixelWorker) {
    this.#options = options;
    this.#spawn = spawn;
  }

  get threadsMax(): number {
    return this.#options.threadsMax;
  }

  /**
   * An aborted job leaves the queue at once; one already on a thread runs out and its result is dropped.
   * @throws CortexError of the image, or `overloaded` when the queue is full or the pool closed; the signal's reason.
   */
  async run(job: PixelJob, signal?: AbortSignal): Promise<PreparedImage> {
    signal?.throwIfAborted();
    if (this.#closed) throw closedError();
    if (this.#queue.length >= this.#options.queueMax) {
      throw new CortexError('overloaded', `${this.#queue.length} images are already waiting to be decoded`, {
        facts: { limit: this.#options.queueMax },
      });
    }
    return new Promise((resolve, reject) => {
      const pending: PendingJob = { job, resolve, reject, signal, abort: () => this.#drop(pending) };
      signal?.addEventListener('abort', pending.abort, { once: true });
      this.#queue.push(pending);
      this.#dispatch();
    });
  }

  /** Fails what is waiting or running with `overloaded` and ends the threads. */
  async close(): Promise<void> {
    this.#closed = true;
    const threads = [...this.#threads];
    this.#threads.clear();
    const running = threads.flatMap(({ pending }) => (pending === null ? [] : [pending]));
    for (const { reject } of [...running, ...this.#queue.splice(0)]) reject(closedError());
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  #drop(pending: PendingJob): void {
    const at = this.#queue.indexOf(pending);
    if (at >= 0) this.#queue.splice(at, 1);
    pending.reject(pending.signal?.reason);
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const thread = this.#freeThread();
      if (thread === null) return;
      const pending = this.#queue.shift();
      if (pending === undefined) return;
      thread.pending = pending;
      thread.worker.ref();
      thread.worker.postMessage(pending.job, []);
    }
  }

  #freeThread(): Thread | null {
    for (const thread of this.#threads) if (thread.pending === null) return thread;
    return this.#threads.size < this.#options.threadsMax ? this.#startThread() : null;
  }

  #startThread(): Thread {
    const worker = this.#spawn(`pixels-${this.#nStarted}`);
    this.#nStarted += 1;
    const thread: Thread = { worker, pending: null };
    this.#threads.add(thread);
    worker.on('message', (answer: PixelAnswer) => this.#finish(thread, answer));
    worker.on('error', (error) => this.#lose(thread, error));
    worker.on('exit', (code) => this.#lose(thread, new Error(`exit code ${code}`)));
    return thread;
  }

  #finish(thread: Thread, answer: PixelAnswer): void {
    const { pending } = thread;
    thread.pending = null;
    // An idle thread must not keep the process alive.
    thread.worker.unref();
    pending?.signal?.removeEventListener('abort', pending.abort);
    if (answer.kind === 'prepared') pending?.resolve(answer.image);
    else pending?.reject(CortexError.fromData(answer.error));
    this.#dispatch();
  }

  #lose(thread: Thread, cause: Error): void {
    if (!this.#threads.delete(thread)) return;
    thread.pending?.reject(new CortexError('internal_error', `the image thread died: ${cause.message}`, { cause }));
    this.#dispatch();
  }
}
