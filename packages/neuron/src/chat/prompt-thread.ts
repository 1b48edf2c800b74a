/**
 * A model's prompts, built and tokenised off the main thread: 100,000 tokens take a second, a tokenizer a second to
 * load, and no other request may wait for either. The thread is bounded in time and memory: a template or text that
 * breaks the bounds fails its own request, and a fresh thread takes over.
 */
import { CortexError } from '@cortex/core';
import type { Worker } from 'node:worker_threads';
import { helperLimits, spawnWorker } from '../spawn-worker.ts';
import type { EncodeOptions } from '../tokenizer/tokenizer.ts';
import { Vocabulary } from '../tokenizer/vocabulary.ts';
import type { PromptJob, PromptThreadMessage, PromptThreadReady, PromptThreadSetup } from './prompt-job.ts';
import { checkPromptLength, defaultPromptCharsMax, type Prompt } from './prompt.ts';
import type { TemplateFacts, TemplateInput } from './template.ts';

export interface PromptThreadOptions {
  /** The model's folder. */
  readonly dir: string;
  /** Shows in debuggers and profiles. */
  readonly name?: string;
  /** Longer texts are refused; UTF-16 units. */
  readonly charsMax?: number;
  /** A job running longer is ended with its thread. */
  readonly jobMsMax?: number;
  readonly loadMsMax?: number;
  /** Jobs waiting; more are answered `overloaded`. */
  readonly queueMax?: number;
}

interface Waiting {
  readonly job: PromptJob;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (message: PromptThreadMessage) => void;
  readonly reject: (error: unknown) => void;
}

const heapMiB = 2048;

/** How a thread that gave no answer ended. */
type Silence = { readonly kind: 'late'; readonly afterMs: number } | { readonly kind: 'died'; readonly cause: unknown };

/** The worker's next message; never rejects, and leaves no listener behind. */
const nextMessage = (worker: Worker, msMax: number): Promise<PromptThreadMessage | Silence> =>
  new Promise((resolve) => {
    const settle = (result: PromptThreadMessage | Silence): void => {
      clearTimeout(timer);
      worker.off('message', settle).off('error', died).off('messageerror', died).off('exit', died);
      resolve(result);
    };
    const died = (cause: unknown): void => settle({ kind: 'died', cause });
    const timer = setTimeout(() => settle({ kind: 'late', afterMs: msMax }), msMax);
    worker.on('message', settle).on('error', died).on('messageerror', died).on('exit', died);
  });

/** Before listening for the answer: no message arrives within this turn of the event loop. */
const post = (worker: Worker, job: PromptJob): void => {
  try {
    worker.postMessage(job, []);
  } catch (error) {
    throw new CortexError('invalid_request', 'the request is nested too deeply', { cause: error });
  }
};

const unloading = (): CortexError => new CortexError('overloaded', 'the model is being unloaded');

const causeText = (cause: unknown): string => (cause instanceof Error ? cause.message : `exit code ${String(cause)}`);

export class PromptThread {
  readonly vocabulary: Vocabulary;
  /** What the model's chat template says about it; null where there is none and `build` refuses. */
  readonly template: TemplateFacts | null;
  readonly #options: Required<PromptThreadOptions>;
  readonly #queue: Waiting[] = [];
  /** Null after it was ended; the next job starts another. */
  #worker: Worker | null = null;
  #isDraining = false;
  #isClosed = false;

  private constructor(options: Required<PromptThreadOptions>, worker: Worker, ready: PromptThreadReady) {
    this.#options = options;
    this.#adopt(worker);
    this.vocabulary = new Vocabulary(ready.vocabulary);
    this.template = ready.template;
  }

  /** @throws CortexError `model_load_failed` where tokenizer or template are not usable. */
  static async load(options: PromptThreadOptions): Promise<PromptThread> {
    const complete: Required<PromptThreadOptions> = {
      name: 'prompt',
      charsMax: defaultPromptCharsMax,
      jobMsMax: 60_000,
      loadMsMax: 120_000,
      queueMax: 256,
      ...options,
    };
    const { worker, ready } = await PromptThread.#start(complete);
    return new PromptThread(complete, worker, ready);
  }

  static async #start(options: Required<PromptThreadOptions>): Promise<{ worker: Worker; ready: PromptThreadReady }> {
    const setup: PromptThreadSetup = { dir: options.dir, charsMax: options.charsMax };
    const worker = spawnWorker(new URL('./prompt-worker.ts', import.meta.url), {
      name: options.name,
      workerData: setup,
      resourceLimits: { ...helperLimits, maxOldGenerationSizeMb: heapMiB },
    });
    // A late failure of an idle thread must not end the daemon; the next job finds out.
    worker.on('error', () => {});
    const first = await nextMessage(worker, options.loadMsMax);
    if (first.kind === 'ready') {
      worker.unref();
      return { worker, ready: first };
    }
    await worker.terminate();
    if (first.kind === 'failed') throw CortexError.fromData(first.error);
    const reason = first.kind === 'died' ? causeText(first.cause) : 'it took too long';
    throw new CortexError('model_load_failed', `tokenizer and chat template: ${reason}`, {
      facts: { dir: options.dir },
    });
  }

  /** @throws CortexError `request_too_large`, `overloaded`, `client_closed_request`. */
  async encode(text: string, options: EncodeOptions, signal?: AbortSignal): Promise<Int32Array> {
    checkPromptLength(text, this.#options.charsMax);
    const message = await this.#enqueue({ kind: 'encode', text, options }, signal);
    if (message.kind !== 'encoded') throw new CortexError('internal_error', 'the prompt thread gave another answer');
    return message.ids;
  }

  /** @throws CortexError `invalid_request` from the template, else as `encode`. */
  async build(input: TemplateInput, signal?: AbortSignal): Promise<Prompt> {
    const message = await this.#enqueue({ kind: 'build', input }, signal);
    if (message.kind !== 'built') throw new CortexError('internal_error', 'the prompt thread gave another answer');
    return message.prompt;
  }

  /** Waiting and running jobs end in `overloaded`. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { reject } of this.#queue.splice(0)) reject(unloading());
    await this.#worker?.terminate();
  }

  #enqueue(job: PromptJob, signal: AbortSignal | undefined): Promise<PromptThreadMessage> {
    const { queueMax } = this.#options;
    if (this.#isClosed) throw unloading();
    if (this.#queue.length >= queueMax) {
      throw new CortexError('overloaded', `${queueMax} prompts are waiting to be tokenised`);
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ job, signal, resolve, reject });
      if (!this.#isDraining) void this.#drain();
    });
  }

  /** One job at a time: then it is known which one ended the thread, and those behind it can still leave. */
  async #drain(): Promise<void> {
    this.#isDraining = true;
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const { job, signal, resolve, reject } = next;
      try {
        if (signal?.aborted === true) throw new CortexError('client_closed_request', 'the client has left');
        resolve(await this.#run(job));
      } catch (error) {
        reject(error);
      }
    }
    this.#isDraining = false;
  }

  async #run(job: PromptJob): Promise<PromptThreadMessage> {
    const worker = this.#worker ?? (await this.#restart());
    worker.ref();
    post(worker, job);
    const message = await nextMessage(worker, this.#options.jobMsMax);
    worker.unref();
    if (message.kind === 'failed') throw CortexError.fromData(message.error);
    if (message.kind !== 'late' && message.kind !== 'died') return message;
    this.#worker = null;
    await worker.terminate();
    if (this.#isClosed) throw unloading();
    const reason = message.kind === 'late' ? `more than ${message.afterMs} ms` : 'more memory than a prompt may use';
    throw new CortexError('request_too_large', `preparing this prompt takes ${reason}`, {
      cause: message.kind === 'died' ? message.cause : undefined,
    });
  }

  async #restart(): Promise<Worker> {
    const { worker } = await PromptThread.#start(this.#options);
    if (!this.#isClosed) return this.#adopt(worker);
    await worker.terminate();
    throw unloading();
  }

  #adopt(worker: Worker): Worker {
    this.#worker = worker;
    worker.once('exit', () => {
      if (this.#worker === worker) this.#worker = null;
    });
    return worker;
  }
}
