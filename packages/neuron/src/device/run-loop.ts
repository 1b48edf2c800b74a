/**
 * The life of a device's thread: take messages, schedule a step, run it, post what came of it. While there is work
 * the thread does not go back to its event loop between steps, yet sees every message before the next one, so a
 * cancelled request is gone within one step.
 */
import { setImmediate as eventLoopTurn } from 'node:timers/promises';
import { CortexError } from '@cortex/core';
import type { DeviceHost, DeviceModel } from '../model/device-model.ts';
import { exhausted } from '../sampling/grammar/exhausted.ts';
import { SamplerWorkspace } from '../sampling/sampler.ts';
import { Generation } from './generation.ts';
import type { Heartbeat } from './heartbeat.ts';
import { LoadedModel } from './loaded-model.ts';
import { decodeByHand, encodeByHand, prefillByHand } from './manual-jobs.ts';
import type { DeviceAnswers, DeviceJob, FromWorker, GenerateSpec, LoadSpec, ToWorker } from './protocol.ts';
import { runStep } from './run-step.ts';
import { nextStep } from './scheduler.ts';

/** Where messages come from and go to. */
export interface Mailbox {
  /** The messages that have arrived, oldest first, without waiting. */
  take(): readonly ToWorker[];
  /** Resolves when there is something to take. */
  wait(): Promise<void>;
  post(message: FromWorker): void;
}

export interface RunLoopParts {
  readonly host: DeviceHost;
  readonly mailbox: Mailbox;
  readonly heartbeat: Heartbeat;
  /** Sequences that may wait for room, on all models together. */
  readonly waitingMax: number;
}

/** A busy thread still lets timers and finished file reads through this often. */
const turnEveryMs = 100;
const activityEveryMs = 200;

export class RunLoop {
  readonly #parts: RunLoopParts;
  readonly #models = new Map<string, LoadedModel>();
  readonly #generations = new Map<number, Generation>();
  readonly #loads = new Map<string, Promise<DeviceModel>>();
  readonly #workspace = new SamplerWorkspace();
  #last: LoadedModel | null = null;
  #isEnded = false;
  #turnAtMs = 0;
  #activityAtMs = 0;
  #postedCounts = '';
  /** Whether steps have run since rates were last posted. */
  #isRateDue = false;

  constructor(parts: RunLoopParts) {
    this.#parts = parts;
  }

  /** Resolves after a `shutdown` job, with everything on the device freed. */
  async run(): Promise<void> {
    while (!this.#isEnded) {
      for (const message of this.#parts.mailbox.take()) this.#handle(message);
      const isBusy = this.#step();
      // First, so that whoever has seen an event sees counts no older.
      this.#postActivity(isBusy);
      this.#postEvents();
      if (!isBusy && !this.#isEnded) await this.#parts.mailbox.wait();
      else await this.#turn();
    }
    // A load in progress still uses the device.
    await Promise.allSettled(this.#loads.values());
    this.#parts.host[Symbol.dispose]();
  }

  /** Schedule, run, postprocess. Returns whether there was anything to do. */
  #step(): boolean {
    const models = [...this.#models.values()];
    for (const model of models) model.admit();
    const step = nextStep(models, this.#last);
    if (step === null) return false;
    this.#last = step.model;
    this.#parts.heartbeat.step(() => runStep(step));
    this.#isRateDue = true;
    return true;
  }

  /** Loads go on only in the event loop's turns. */
  async #turn(): Promise<void> {
    if (this.#loads.size === 0 && performance.now() - this.#turnAtMs < turnEveryMs) return;
    await eventLoopTurn();
    this.#turnAtMs = performance.now();
  }

  #handle(message: ToWorker): void {
    switch (message.kind) {
      case 'job':
        void this.#answer(message.jobId, message.job);
        break;
      case 'generate':
        this.#generate(message.jobId, message.spec);
        break;
      case 'stop_choice':
        this.#generations.get(message.jobId)?.stopChoice(message.choice);
        break;
      case 'cancel':
        this.#generations.get(message.jobId)?.cancel();
        break;
    }
    for (const model of this.#models.values()) model.dropFinished();
  }

  /** Runs a job to its end before it returns, except for a load. */
  async #answer(jobId: number, job: DeviceJob): Promise<void> {
    const { mailbox, heartbeat } = this.#parts;
    try {
      const value = job.kind === 'load' ? await this.#load(jobId, job.spec) : heartbeat.step(() => this.#run(job));
      mailbox.post({ kind: 'answer', jobId, value });
    } catch (error) {
      mailbox.post({ kind: 'failed', jobId, error: CortexError.from(error).toData() });
    }
  }

  #run(job: Exclude<DeviceJob, { kind: 'load' }>): DeviceAnswers[keyof DeviceAnswers] {
    switch (job.kind) {
      case 'unload':
        return this.#unload(job.modelId);
      case 'memory':
        return this.#parts.host.memory();
      case 'encode_image':
        return encodeByHand(this.#model(job.modelId), job);
      case 'prefill':
        return prefillByHand(this.#model(job.modelId), job);
      case 'decode':
        return decodeByHand(this.#model(job.modelId), job);
      case 'reset':
        this.#model(job.modelId).resetManual(job.sequence);
        return null;
      case 'shutdown':
        return this.#shutdown();
      default:
        return exhausted(job);
    }
  }

  async #load(jobId: number, spec: LoadSpec): Promise<DeviceAnswers['load']> {
    const { host, heartbeat, mailbox } = this.#parts;
    const { modelId } = spec;
    if (this.#models.has(modelId) || this.#loads.has(modelId)) {
      throw new CortexError('model_load_failed', `${modelId} is on this device already`, {
        facts: { model_id: modelId },
      });
    }
    const loading = heartbeat.load((piece) => {
      return host.loadModel(spec, (progress) => {
        piece();
        mailbox.post({ kind: 'load_progress', jobId, progress });
      });
    });
    this.#loads.set(modelId, loading);
    try {
      const model = await loading;
      if (this.#isEnded) {
        model[Symbol.dispose]();
        throw new CortexError('overloaded', 'the device is being shut down');
      }
      const loaded = new LoadedModel(spec, model, this.#workspace);
      this.#models.set(modelId, loaded);
      return loaded.facts;
    } finally {
      this.#loads.delete(modelId);
    }
  }

  #generate(jobId: number, spec: GenerateSpec): void {
    const { mailbox, waitingMax } = this.#parts;
    try {
      const model = this.#model(spec.modelId);
      const nWaiting = [...this.#models.values()].reduce((n, { waiting }) => n + waiting.length, 0);
      if (nWaiting + spec.choices.length > waitingMax) {
        throw new CortexError('overloaded', `${nWaiting} sequences are waiting for this device`);
      }
      const generation = new Generation(jobId, spec, model);
      this.#generations.set(jobId, generation);
      model.waiting.push(...generation.sequences);
    } catch (error) {
      mailbox.post({ kind: 'failed', jobId, error: CortexError.from(error).toData() });
    }
  }

  #model(modelId: string): LoadedModel {
    const model = this.#models.get(modelId);
    if (model !== undefined) return model;
    throw new CortexError('model_not_found', `${modelId} is not on this device`, { facts: { model_id: modelId } });
  }

  /** Ends what runs on it. */
  #unload(modelId: string): null {
    const model = this.#model(modelId);
    for (const generation of this.#generations.values()) {
      if (generation.model === model) generation.fail(new CortexError('overloaded', `${modelId} is being unloaded`));
    }
    this.#models.delete(modelId);
    if (this.#last === model) this.#last = null;
    model[Symbol.dispose]();
    return null;
  }

  #shutdown(): null {
    for (const modelId of this.#models.keys()) this.#unload(modelId);
    this.#isEnded = true;
    return null;
  }

  #postEvents(): void {
    const { mailbox } = this.#parts;
    for (const [jobId, { events, state }] of this.#generations) {
      if (events.length > 0 && state.kind !== 'cancelled') {
        mailbox.post({ kind: 'events', jobId, events: events.splice(0) });
      }
      if (state.kind === 'failed') mailbox.post({ kind: 'failed', jobId, error: state.error.toData() });
      if (state.kind !== 'running') this.#generations.delete(jobId);
    }
  }

  /** Counts at once when they change, rates now and then. */
  #postActivity(isBusy: boolean): void {
    const models = [...this.#models.values()];
    const counts = models.map(({ nInFlight, waiting }) => `${nInFlight}+${waiting.length}`).join();
    const nowMs = performance.now();
    const isDue = this.#isRateDue && (!isBusy || nowMs - this.#activityAtMs > activityEveryMs);
    if (counts === this.#postedCounts && !isDue) return;
    this.#parts.mailbox.post({ kind: 'activity', models: models.map((model) => model.counts) });
    this.#postedCounts = counts;
    this.#activityAtMs = nowMs;
    this.#isRateDue = false;
  }
}
