/**
 * What the models on disk need of a device, known before they are loaded. Each state of a model's files is looked at
 * once; what is wrong with its weights is found here too. Nobody who only asks is kept waiting.
 */
import { CortexError, type GgmlConfig } from '@cortex/core';
import { setTimeout as delay } from 'node:timers/promises';
import { isGguf } from '../model-files/gguf-file.ts';
import { cellAlignment, needsFrom, planMemory, type MeasuredNeeds, type MemoryParts } from '../model/memory-plan.ts';
import type { WeightType } from '../model/weight-types.ts';
import type { StoredModel } from '../model-store/model-store.ts';

export interface ModelMeasurer {
  /** @throws CortexError `model_load_failed`, `unsupported_parameter` for what a load would refuse. */
  measure(dir: string, weightType: WeightType): Promise<MeasuredNeeds>;
  close(): Promise<void>;
}

export type KnownSize =
  | { readonly kind: 'measured'; readonly needs: MeasuredNeeds }
  /** It cannot be loaded. */
  | { readonly kind: 'broken'; readonly error: CortexError };

/** Tokens that the expected memory has room for. Whole contexts would make every long one look too big. */
const expectedTokens = 4096;
/** A file that could not be read may be readable later, and of the same size. */
const brokenKeptMs = 30_000;

/** What is quantised on disk stays so unless a load asks for something else. */
export const defaultWeightType = (dir: string, config: GgmlConfig): WeightType => (isGguf(dir) ? 'auto' : config.quant);

/** Memory for sequences of this many tokens, or of what model and operator allow if that is less. */
const partsFor = (measured: MeasuredNeeds, config: GgmlConfig, tokens: number): MemoryParts => {
  const contextMax = Math.min(tokens, measured.contextMax, config.context_max ?? Infinity);
  const kvTokens = config.kv_tokens ?? contextMax;
  const limits = { freeBytes: Infinity, contextMax, kvTokens, nSlots: config.parallel, kvShare: 1 };
  return planMemory(needsFrom(measured), limits).plan.parts;
};

/** For the shortest context that a load would settle for. */
export const leastParts = (measured: MeasuredNeeds, config: GgmlConfig): MemoryParts =>
  partsFor(measured, config, cellAlignment);

/** As it is used: with room for a conversation. */
export const expectedParts = (measured: MeasuredNeeds, config: GgmlConfig): MemoryParts =>
  partsFor(measured, config, expectedTokens);

const faultsOfModels: ReadonlySet<string> = new Set(['model_load_failed', 'unsupported_parameter']);

/** Any other failure says nothing about the model. */
const isFaultOfModel = ({ code }: CortexError): boolean => faultsOfModels.has(code);

interface Entry {
  readonly bytes: number;
  /** Once `size` says what was found. */
  done: Promise<void>;
  size: KnownSize | null;
  validUntilMs: number;
}

type Sized = Pick<StoredModel, 'dir' | 'bytes'>;

export class ModelSizes {
  readonly #measurer: ModelMeasurer;
  readonly #config: GgmlConfig;
  readonly #entries = new Map<string, Entry>();

  constructor(measurer: ModelMeasurer, config: GgmlConfig) {
    this.#measurer = measurer;
    this.#config = config;
  }

  /** By folder, what is known after `msMax` at the latest of each model as it would be loaded by default. */
  async known(models: readonly Sized[], msMax: number): Promise<ReadonlyMap<string, KnownSize>> {
    const entries = models.map((model) => this.#entryOf(model));
    const controller = new AbortController();
    const limit = delay(msMax, undefined, { signal: controller.signal }).catch(() => {});
    await Promise.race([Promise.all(entries.map(({ done }) => done)), limit]);
    controller.abort();
    return new Map(
      models.flatMap(({ dir }, i) => {
        const size = entries[i]?.size ?? null;
        return size === null ? [] : [[dir, size] as const];
      }),
    );
  }

  /** Null where it could not be measured: the device will. @throws CortexError why it cannot be loaded. */
  async of(model: Sized, weightType: WeightType): Promise<MeasuredNeeds | null> {
    const { dir } = model;
    const entry = this.#entries.get(dir);
    if (entry?.bytes === model.bytes && weightType === this.#defaultType(dir)) {
      await entry.done;
      if (entry.size?.kind === 'measured') return entry.size.needs;
    }
    try {
      return await this.#measurer.measure(dir, weightType);
    } catch (thrown) {
      const error = CortexError.from(thrown);
      if (isFaultOfModel(error)) throw error;
      return null;
    }
  }

  close(): Promise<void> {
    return this.#measurer.close();
  }

  #entryOf({ dir, bytes }: Sized): Entry {
    const known = this.#entries.get(dir);
    if (known?.bytes === bytes && performance.now() < known.validUntilMs) return known;
    // What was known before is better than nothing while it is looked at again.
    const size = known?.bytes === bytes ? known.size : null;
    const entry: Entry = { bytes, size, validUntilMs: Infinity, done: Promise.resolve() };
    entry.done = this.#read(dir, entry);
    this.#entries.set(dir, entry);
    return entry;
  }

  async #read(dir: string, entry: Entry): Promise<void> {
    try {
      entry.size = { kind: 'measured', needs: await this.#measurer.measure(dir, this.#defaultType(dir)) };
    } catch (thrown) {
      const error = CortexError.from(thrown);
      entry.size = isFaultOfModel(error) ? { kind: 'broken', error } : null;
      entry.validUntilMs = performance.now() + brokenKeptMs;
    }
  }

  #defaultType(dir: string): WeightType {
    return defaultWeightType(dir, this.#config);
  }
}
