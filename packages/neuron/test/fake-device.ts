/**
 * A `Device` without ggml that says what a test scripts, token by token. Keeps the contract's promises: slots, limits,
 * stops, cancellation within one token, and `device_poisoned` for everything once it is poisoned.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { CortexError, type DeviceInfo } from '@cortex/core';
import type { Device, Generation } from '../src/device/contract.ts';
import type {
  DeviceAnswers,
  DeviceJob,
  GenerateEvent,
  GenerateSpec,
  LoadedFacts,
  LoadSpec,
} from '../src/device/protocol.ts';
import type { LoadProgress, ModelPart } from '../src/model/device-model.ts';

/** The ids that a choice says before it ends by itself; `null` in place of them: it never says anything. */
export type TokenScript = (spec: GenerateSpec, choice: number) => readonly number[] | null;

const mb = 1024 * 1024;

export class FakeDevice implements Device {
  readonly info: DeviceInfo;
  readonly members: readonly number[];
  poisonedReason: string | null = null;
  script: TokenScript = () => [];
  pauseMs = 0;
  freeBytes = 1000 * mb;
  hasVision = true;
  /** Of a spread. */
  parts: readonly ModelPart[] = [];
  memberBytes: readonly number[] = [];
  contextMax = 512;
  kvTokens = 1024;
  nCachedTokens = 0;
  nDrafted = 0;
  nDraftedRight = 0;
  /** Loads wait for this. */
  loadGate: Promise<unknown> = Promise.resolve();
  loadError: CortexError | null = null;
  /** Everything that was asked of it, in order. */
  readonly log: string[] = [];
  readonly loads: LoadSpec[] = [];
  readonly specs: GenerateSpec[] = [];
  readonly stops: number[] = [];
  nCancelled = 0;
  #nBusy = 0;
  readonly #poisoned = new AbortController();
  readonly #models = new Map<string, LoadSpec>();

  constructor(index = 0, members: readonly number[] = [index]) {
    this.members = members;
    this.info = { index, name: `Fake GPU ${index}`, backend: 'cuda', vram_total_mb: 1000 };
  }

  get modelIds(): readonly string[] {
    return [...this.#models.keys()];
  }

  poison(reason: string): void {
    this.poisonedReason = reason;
    this.#poisoned.abort(new CortexError('device_poisoned', reason));
  }

  async run<K extends DeviceJob['kind']>(job: Extract<DeviceJob, { kind: K }>): Promise<DeviceAnswers[K]> {
    this.#poisoned.signal.throwIfAborted();
    this.log.push(job.kind);
    return (await this.#answer(job)) as DeviceAnswers[K];
  }

  async load(spec: LoadSpec, onProgress: (progress: LoadProgress) => void): Promise<LoadedFacts> {
    this.#poisoned.signal.throwIfAborted();
    this.log.push('load');
    this.loads.push(spec);
    onProgress({ fraction: 0.5, phase: 'weights' });
    await this.loadGate;
    if (this.loadError !== null) throw this.loadError;
    this.#models.set(spec.modelId, spec);
    const { contextMax, kvTokens, hasVision } = this;
    const { parts, memberBytes } = this;
    const finer = [] as const;
    return {
      finer,
      contextMax,
      kvTokens,
      hasVision,
      parts,
      memberBytes,
      nSlots: spec.nSlots,
      bytes: 20 * mb,
      hiddenSize: 4,
    };
  }

  generate(spec: GenerateSpec, signal: AbortSignal): Generation {
    this.specs.push(spec);
    const stopped = new Set<number>();
    const events = this.#events(spec, AbortSignal.any([signal, this.#poisoned.signal]), stopped);
    const stopChoice = (choice: number): void => {
      this.stops.push(choice);
      stopped.add(choice);
    };
    return { events, stopChoice };
  }

  activity(): ReturnType<Device['activity']> {
    return { in_flight: this.#nBusy, queue_depth: 0, tok_s_prefill: null, tok_s_decode: 12 };
  }

  async shutdown(graceMs: number): Promise<void> {
    this.log.push(`shutdown ${Math.round(graceMs)}`);
  }

  async #answer(job: DeviceJob): Promise<unknown> {
    if (job.kind === 'memory') return { freeBytes: this.freeBytes, totalBytes: 1000 * mb };
    if (job.kind === 'unload') this.#models.delete(job.modelId);
    return job.kind === 'prefill' ? new Float32Array(0) : null;
  }

  async #room(spec: GenerateSpec, signal: AbortSignal): Promise<void> {
    const nSlots = this.#models.get(spec.modelId)?.nSlots ?? 1;
    while (this.#nBusy > 0 && this.#nBusy + spec.choices.length > nSlots) await this.#pause(1, signal);
    this.#nBusy += spec.choices.length;
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    await delay(ms, undefined, { signal }).catch(() => {});
    if (!signal.aborted) return;
    this.nCancelled += 1;
    throw signal.reason;
  }

  async *#events(
    spec: GenerateSpec,
    signal: AbortSignal,
    stopped: ReadonlySet<number>,
  ): AsyncGenerator<GenerateEvent, void> {
    await this.#room(spec, signal);
    const nPromptTokens = spec.promptIds.length;
    try {
      yield { kind: 'admitted' };
      yield { kind: 'prefill', done: nPromptTokens, total: nPromptTokens };
      if (spec.output === 'hidden') {
        yield { kind: 'hidden', choice: 0, vector: Float32Array.from([3, 4, 0, 12]) };
        yield { kind: 'finished', choice: 0, cause: 'length' };
        yield {
          kind: 'done',
          nPromptTokens,
          nCachedTokens: 0,
          prefillMs: 1,
          decodeMs: 0,
          nGenerated: 0,
          nDrafted: 0,
          nDraftedRight: 0,
        };
        return;
      }
      const open = new Map(spec.choices.map((_, choice) => [choice, this.script(spec, choice)]));
      let nGenerated = 0;
      for (let i = 0; open.size > 0; i++) {
        await this.#pause(this.pauseMs, signal);
        for (const [choice, ids] of open) {
          const id = ids?.[i];
          const cause = stopped.has(choice) ? 'stopped' : i >= spec.tokensMax ? 'length' : 'eos';
          if (ids === null && cause === 'eos') continue;
          if (id === undefined || cause !== 'eos') {
            open.delete(choice);
            yield { kind: 'finished', choice, cause };
            continue;
          }
          nGenerated += 1;
          yield { kind: 'token', choice, token: tokenOf(id, spec.nTopLogprobs) };
        }
      }
      const { nCachedTokens, nDrafted, nDraftedRight } = this;
      yield {
        kind: 'done',
        nPromptTokens,
        nCachedTokens,
        prefillMs: 1,
        decodeMs: 1,
        nDrafted,
        nDraftedRight,
        nGenerated,
      };
    } finally {
      this.#nBusy -= spec.choices.length;
    }
  }
}

const tokenOf = (id: number, nTop: number | null): Extract<GenerateEvent, { kind: 'token' }>['token'] => ({
  id,
  logprob: nTop === null ? null : -0.5,
  top: Array.from({ length: nTop ?? 0 }, (_, i) => ({ id: i === 0 ? id : i, logprob: -0.5 - i })),
});
