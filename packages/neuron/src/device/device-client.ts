/**
 * A device, from the main thread: jobs out, answers and events in. Each job ends in exactly one of: answered, failed,
 * cancelled. Once the device is poisoned nothing is posted to its thread any more, and the thread is left alone.
 */
import { CortexError, type DeviceInfo } from '@cortex/core';
import type { Worker } from 'node:worker_threads';
import type { DeviceHostOptions, LoadProgress } from '../model/device-model.ts';
import { spawnWorker, workerEntry } from '../spawn-worker.ts';
import type { Device, Generation } from './contract.ts';
import type { DeviceGuard } from './device-guard.ts';
import { EventStream } from './event-stream.ts';
import { Heartbeat } from './heartbeat.ts';
import { noteEnded, noteStuck } from './stuck-threads.ts';
import type {
  DeviceAnswers,
  DeviceJob,
  DeviceWorkerSetup,
  FromWorker,
  GenerateEvent,
  GenerateSpec,
  LoadedFacts,
  LoadSpec,
  ModelCounts,
  ToWorker,
} from './protocol.ts';

export interface DeviceOptions {
  readonly info: DeviceInfo;
  /** Of a group: the indices of its devices; by default the device's own. */
  readonly members?: readonly number[];
  /** Module that exports `openDevice`, as its TypeScript source. */
  readonly hostUrl: URL;
  readonly host: DeviceHostOptions;
  readonly guard: DeviceGuard;
  readonly onPoisoned?: (reason: string) => void;
  /** Sequences waiting for room; more are answered `overloaded`. */
  readonly waitingMax?: number;
}

/** Who waits for what a job brings. */
type Waiting =
  | {
      readonly kind: 'answer';
      readonly resolve: (value: DeviceAnswers[keyof DeviceAnswers]) => void;
      readonly reject: (error: unknown) => void;
      readonly onProgress: ((progress: LoadProgress) => void) | null;
    }
  | { readonly kind: 'events'; readonly stream: EventStream<GenerateEvent>; readonly release: () => void };

const defaultWaitingMax = 1024;
/** Events a reader may be behind: some minutes of a fast model. */
const eventsMax = 65_536;
const openMsMax = 60_000;
/** Freeing a device takes less, or will not happen. */
const freeMsMax = 10_000;

const causeText = (cause: unknown): string => (cause instanceof Error ? cause.message : `exit code ${String(cause)}`);

const after = (ms: number): { readonly elapsed: Promise<'late'>; readonly clear: () => void } => {
  let timer: NodeJS.Timeout | undefined;
  const elapsed = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), ms);
  });
  return { elapsed, clear: () => clearTimeout(timer) };
};

export class DeviceClient implements Device {
  readonly info: DeviceInfo;
  readonly members: readonly number[];
  /** Its thread's name, such as `cuda-dev-0`, `cuda-dev-0+1` or `cuda-dev-0+1+host`. */
  readonly name: string;
  readonly heartbeat: Heartbeat;
  readonly #options: DeviceOptions;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  readonly #opened: Promise<void>;
  #settleOpen: (error: CortexError | null) => void = () => {};
  #counts: readonly ModelCounts[] = [];
  #poisonedReason: string | null = null;
  #state: 'serving' | 'draining' | 'gone' = 'serving';
  #nextJobId = 1;
  #onIdle: (() => void) | null = null;
  #onGone: (() => void) | null = null;
  #closing: Promise<void> | null = null;

  private constructor(options: DeviceOptions) {
    const { info, hostUrl, host, waitingMax = defaultWaitingMax } = options;
    this.info = info;
    this.members = options.members ?? [info.index];
    this.name = `${info.backend}-dev-${this.members.join('+')}${host.sharing === 'layers' ? '+host' : ''}`;
    this.#options = options;
    const heartbeat = Heartbeat.buffer();
    this.heartbeat = new Heartbeat(heartbeat);
    this.#opened = new Promise((resolve, reject) => {
      this.#settleOpen = (error) => (error === null ? resolve() : reject(error));
    });
    const { url: builtHost } = workerEntry(hostUrl, import.meta.url);
    const setup: DeviceWorkerSetup = { name: this.name, hostUrl: builtHost.href, host, heartbeat, waitingMax };
    this.#worker = spawnWorker(new URL('./device-worker.ts', import.meta.url), { name: this.name, workerData: setup });
    this.#worker.on('message', (message: FromWorker) => this.#receive(message));
    this.#worker.on('error', (error) => this.#died(error));
    this.#worker.on('exit', (code) => {
      noteEnded(this.#worker);
      this.#died(code);
    });
    options.guard.add(this);
  }

  /** @throws CortexError what `openDevice` threw, or `device_poisoned` where it failed natively or never returned. */
  static async open(options: DeviceOptions): Promise<DeviceClient> {
    const device = new DeviceClient(options);
    const limit = after(openMsMax);
    const result = await Promise.race([device.#opened, limit.elapsed]).finally(limit.clear);
    if (result !== 'late') return device;
    device.poison(`it did not open within ${openMsMax / 1000} s`);
    throw device.#poisonedError();
  }

  get poisonedReason(): string | null {
    return this.#poisonedReason;
  }

  async run<K extends DeviceJob['kind']>(job: Extract<DeviceJob, { kind: K }>): Promise<DeviceAnswers[K]> {
    if (job.kind === 'shutdown') {
      await this.shutdown(0);
      return null as DeviceAnswers[K];
    }
    return this.#ask<K>(job, null);
  }

  load(spec: LoadSpec, onProgress: (progress: LoadProgress) => void): Promise<LoadedFacts> {
    return this.#ask<'load'>({ kind: 'load', spec }, onProgress);
  }

  generate(spec: GenerateSpec, signal: AbortSignal): Generation {
    const jobId = this.#nextJobId++;
    const cancel = (): void => {
      if (this.#waiting.has(jobId)) this.#post({ kind: 'cancel', jobId });
      this.#settle(jobId);
    };
    const stream = new EventStream<GenerateEvent>({ eventsMax, onAbandoned: cancel });
    const onAbort = (): void => {
      cancel();
      stream.fail(signal.reason);
    };
    const refused = signal.aborted ? signal.reason : this.#refusal();
    if (refused === null) {
      signal.addEventListener('abort', onAbort, { once: true });
      const release = (): void => signal.removeEventListener('abort', onAbort);
      this.#waiting.set(jobId, { kind: 'events', stream, release });
      this.#send(jobId, { kind: 'generate', jobId, spec });
    } else {
      stream.fail(refused);
    }
    return {
      events: stream,
      stopChoice: (choice) => {
        if (this.#waiting.has(jobId)) this.#post({ kind: 'stop_choice', jobId, choice });
      },
    };
  }

  activity(modelId: string): ReturnType<Device['activity']> {
    const counts = this.#counts.find((model) => model.modelId === modelId);
    return {
      in_flight: counts?.inFlight ?? 0,
      queue_depth: counts?.queueDepth ?? 0,
      tok_s_prefill: counts?.tokSPrefill ?? null,
      tok_s_decode: counts?.tokSDecode ?? null,
    };
  }

  shutdown(graceMs: number): Promise<void> {
    return (this.#closing ??= this.#shutdown(graceMs));
  }

  /** Ends every job at once. The thread may be stuck in native code: it is neither asked nor ended. */
  poison(reason: string): void {
    if (this.#poisonedReason !== null || this.#state === 'gone') return;
    this.#poisonedReason = reason;
    this.#options.guard.remove(this);
    this.#worker.unref();
    noteStuck(this.#worker);
    this.#endAll(this.#poisonedError());
    this.#counts = [];
    this.#onGone?.();
    this.#options.onPoisoned?.(reason);
  }

  async #shutdown(graceMs: number): Promise<void> {
    if (this.#poisonedReason !== null || this.#state === 'gone') return;
    this.#state = 'draining';
    const gone = new Promise<'gone'>((resolve) => {
      this.#onGone = () => resolve('gone');
    });
    const idle = new Promise<'idle'>((resolve) => {
      this.#onIdle = () => resolve('idle');
      this.#noteIdle();
    });
    const grace = after(graceMs);
    await Promise.race([gone, idle, grace.elapsed]).finally(grace.clear);
    if (this.#poisonedReason !== null) return;
    for (const jobId of this.#waiting.keys()) this.#post({ kind: 'cancel', jobId });
    this.#endAll(this.#stopping());
    this.#post({ kind: 'job', jobId: this.#nextJobId++, job: { kind: 'shutdown' } });
    const limit = after(freeMsMax);
    const result = await Promise.race([gone, limit.elapsed]).finally(limit.clear);
    if (result === 'late') this.poison(`it did not shut down within ${freeMsMax / 1000} s`);
  }

  async #ask<K extends DeviceJob['kind']>(
    job: Extract<DeviceJob, { kind: K }>,
    onProgress: ((progress: LoadProgress) => void) | null,
  ): Promise<DeviceAnswers[K]> {
    const refused = this.#refusal();
    if (refused !== null) throw refused;
    const jobId = this.#nextJobId++;
    const value = await new Promise<DeviceAnswers[keyof DeviceAnswers]>((resolve, reject) => {
      this.#waiting.set(jobId, { kind: 'answer', resolve, reject, onProgress });
      this.#send(jobId, { kind: 'job', jobId, job });
    });
    return value as DeviceAnswers[K];
  }

  #refusal(): CortexError | null {
    if (this.#poisonedReason !== null) return this.#poisonedError();
    return this.#state === 'serving' ? null : this.#stopping();
  }

  #stopping(): CortexError {
    return new CortexError('overloaded', `device ${this.name} is being shut down`);
  }

  #poisonedError(): CortexError {
    const reason = this.#poisonedReason ?? 'unknown';
    return new CortexError(
      'device_poisoned',
      `${this.name} is out of service until the neuron is restarted: ${reason}`,
      {
        facts: { device: this.name, reason },
      },
    );
  }

  #post(message: ToWorker): void {
    if (this.#poisonedReason === null && this.#state !== 'gone') this.#worker.postMessage(message, []);
  }

  /** What cannot be cloned fails its own job. */
  #send(jobId: number, message: ToWorker): void {
    try {
      this.#post(message);
    } catch (error) {
      this.#fail(jobId, CortexError.from(error));
    }
  }

  #receive(message: FromWorker): void {
    switch (message.kind) {
      case 'ready':
        this.#settleOpen(null);
        break;
      case 'open_failed':
        this.#leave(CortexError.fromData(message.error));
        break;
      case 'activity':
        this.#counts = message.models;
        break;
      case 'answer':
        this.#answered(message.jobId, message.value);
        break;
      case 'failed':
        this.#fail(message.jobId, CortexError.fromData(message.error));
        break;
      case 'load_progress': {
        const waiting = this.#waiting.get(message.jobId);
        if (waiting?.kind === 'answer') waiting.onProgress?.(message.progress);
        break;
      }
      case 'events':
        this.#happened(message.jobId, message.events);
        break;
    }
  }

  #answered(jobId: number, value: DeviceAnswers[keyof DeviceAnswers]): void {
    const waiting = this.#waiting.get(jobId);
    this.#settle(jobId);
    if (waiting?.kind === 'answer') waiting.resolve(value);
  }

  #happened(jobId: number, events: readonly GenerateEvent[]): void {
    const waiting = this.#waiting.get(jobId);
    if (waiting?.kind !== 'events') return;
    waiting.stream.push(events);
    if (events.at(-1)?.kind !== 'done') return;
    this.#settle(jobId);
    waiting.stream.end();
  }

  #fail(jobId: number, error: unknown): void {
    const waiting = this.#waiting.get(jobId);
    this.#settle(jobId);
    if (waiting?.kind === 'answer') waiting.reject(error);
    else waiting?.stream.fail(error);
  }

  #endAll(error: CortexError): void {
    this.#settleOpen(error);
    for (const jobId of this.#waiting.keys()) this.#fail(jobId, error);
  }

  /** Nobody waits for this job any more. */
  #settle(jobId: number): void {
    const waiting = this.#waiting.get(jobId);
    this.#waiting.delete(jobId);
    if (waiting?.kind === 'events') waiting.release();
    this.#noteIdle();
  }

  #noteIdle(): void {
    if (this.#waiting.size === 0) this.#onIdle?.();
  }

  /** The thread has ended, as it was asked to or not. */
  #died(cause: unknown): void {
    if (this.#state === 'serving') this.poison(`its thread ended: ${causeText(cause)}`);
    else this.#leave(this.#stopping());
  }

  #leave(error: CortexError): void {
    if (this.#state === 'gone') return;
    this.#state = 'gone';
    this.#options.guard.remove(this);
    this.#endAll(error);
    this.#onGone?.();
  }
}
