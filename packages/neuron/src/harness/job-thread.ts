/**
 * A helper thread that answers jobs one by one. It starts with the first job and keeps no process alive; one that dies,
 * or is over a job for too long, fails what it had, and the next job starts another.
 */
import type { Worker } from 'node:worker_threads';
import { CortexError, type ErrorData } from '@cortex/core';
import { noteEnded, noteStuck } from '../device/stuck-threads.ts';
import { helperLimits, spawnWorker } from '../spawn-worker.ts';

export interface JobMessage<Job> {
  readonly jobId: number;
  readonly job: Job;
}

export type JobResult<Answer> =
  | { readonly jobId: number; readonly kind: 'answered'; readonly answer: Answer }
  | { readonly jobId: number; readonly kind: 'failed'; readonly error: ErrorData };

export interface JobThreadOptions {
  /** The worker's TypeScript source; it calls `serveJobs`. */
  readonly url: URL;
  readonly name: string;
  /** What its jobs are, for messages: `grammars are being compiled`. */
  readonly work: string;
  /** Passed to the worker. */
  readonly workerData?: unknown;
  /** Jobs waiting; more are answered `overloaded`. */
  readonly jobsMax: number;
  /** Between two answers while there are jobs; none by default. */
  readonly jobMsMax?: number;
}

interface Waiting<Answer> {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: CortexError) => void;
}

const closing = (): CortexError => new CortexError('overloaded', 'this neuron is shutting down');

export class JobThread<Job, Answer> {
  readonly #options: JobThreadOptions;
  readonly #waiting = new Map<number, Waiting<Answer>>();
  #worker: Worker | null = null;
  #late: NodeJS.Timeout | undefined;
  #nextJobId = 1;
  #isClosed = false;

  constructor(options: JobThreadOptions) {
    this.#options = options;
  }

  /** @throws CortexError what the job threw; `overloaded`; `invalid_request` for what cannot cross to a thread. */
  run(job: Job): Promise<Answer> {
    const { jobsMax, work } = this.#options;
    if (this.#isClosed) return Promise.reject(closing());
    if (this.#waiting.size >= jobsMax) return Promise.reject(new CortexError('overloaded', `${jobsMax} ${work}`));
    const worker = (this.#worker ??= this.#start());
    const jobId = this.#nextJobId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(jobId, { resolve, reject });
      worker.ref();
      try {
        const message: JobMessage<Job> = { jobId, job };
        worker.postMessage(message, []);
        if (this.#waiting.size === 1) this.#watch(worker);
      } catch (error) {
        this.#waiting.delete(jobId);
        reject(new CortexError('invalid_request', 'the request is nested too deeply', { cause: error }));
      }
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#late);
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const { url, name, workerData } = this.#options;
    const worker = spawnWorker(url, { name, workerData, resourceLimits: helperLimits });
    worker.on('message', (result: JobResult<Answer>) => this.#receive(worker, result));
    worker.on('error', (error) => this.#died(worker, error.message));
    worker.on('exit', (code) => {
      noteEnded(worker);
      this.#died(worker, `exit code ${code}`);
    });
    return worker;
  }

  #receive(worker: Worker, result: JobResult<Answer>): void {
    const waiting = this.#waiting.get(result.jobId);
    this.#waiting.delete(result.jobId);
    if (result.kind === 'answered') waiting?.resolve(result.answer);
    else waiting?.reject(CortexError.fromData(result.error));
    this.#watch(worker);
  }

  #watch(worker: Worker): void {
    const { jobMsMax } = this.#options;
    clearTimeout(this.#late);
    if (this.#waiting.size === 0) worker.unref();
    else if (jobMsMax !== undefined) this.#late = setTimeout(() => this.#giveUp(worker, jobMsMax), jobMsMax);
  }

  /** It may be stuck in native code, where nothing can end it: it is left alone. */
  #giveUp(worker: Worker, ms: number): void {
    noteStuck(worker);
    worker.unref();
    void worker.terminate();
    this.#died(worker, `no answer for ${ms / 1000} s`);
  }

  #died(worker: Worker, cause: string): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    clearTimeout(this.#late);
    const error = this.#isClosed
      ? closing()
      : new CortexError('internal_error', `the thread ${this.#options.name} ended: ${cause}`);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
