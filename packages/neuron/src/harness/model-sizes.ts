/**
 * What the models on disk need of a device, known before they are loaded. Each state of a model's files is looked at
 * once; what is wrong with its weights is found here too. Nobody who only asks is kept waiting.
 */
import { CortexError, type GgmlConfig, type Sharing } from '@cortex/core';
import { setTimeout as delay } from 'node:timers/promises';
import {
  cellAlignment,
  needsFrom,
  planMemory,
  type MeasuredNeeds,
  type MemoryParts,
  type SharedNeeds,
} from '../model/memory-plan.ts';
import type { WeightType } from '../model/weight-types.ts';
import type { StoredModel } from '../model-store/model-store.ts';
import { sharingOf } from './group-estimate.ts';
import type { ModelSettings } from './model-settings.ts';

export interface ModelMeasurer {
  /**
   * Of one device that has all of it, and of `nDevices` that share it.
   * @throws CortexError `model_load_failed`, `unsupported_parameter` for what a load would refuse.
   */
  measure(dir: string, weightType: WeightType, nDevices: number): Promise<MeasuredNeeds>;
  close(): Promise<void>;
}

export type KnownSize =
  | {
      readonly kind: 'measured';
      readonly needs: MeasuredNeeds;
      /** That share it, by the operator's settings. */
      readonly nDevices: number;
      /** Null: any. */
      readonly deviceIndices: readonly number[] | null;
    }
  /** It cannot be loaded. */
  | { readonly kind: 'broken'; readonly error: CortexError };

/** Tokens that the expected memory has room for. Whole contexts would make every long one look too big. */
const expectedTokens = 4096;
/** A file that could not be read may be readable later, and of the same size. */
const brokenKeptMs = 30_000;

/** Sequences of this many tokens, or of what model and operator allow if that is less. */
const tokensFor = (measured: MeasuredNeeds, config: GgmlConfig, tokens: number) => {
  const contextMax = Math.min(tokens, measured.contextMax, config.context_max ?? Infinity);
  return { contextMax, kvTokens: config.kv_tokens ?? contextMax };
};

/** Memory for them. */
const partsFor = (measured: MeasuredNeeds, config: GgmlConfig, tokens: number): MemoryParts => {
  const { contextMax, kvTokens } = tokensFor(measured, config, tokens);
  const limits = { freeBytes: Infinity, contextMax, kvTokens, nSlots: config.parallel, kvShare: 1 };
  return planMemory(needsFrom(measured), limits).plan.parts;
};

/** For the shortest context that a load would settle for. */
export const leastParts = (measured: MeasuredNeeds, config: GgmlConfig): MemoryParts =>
  partsFor(measured, config, cellAlignment);

/** As it is used: with room for a conversation. */
export const expectedParts = (measured: MeasuredNeeds, config: GgmlConfig): MemoryParts =>
  partsFor(measured, config, expectedTokens);

/** The same of devices that share it. */
export const expectedSharing = (sharing: SharedNeeds, measured: MeasuredNeeds, config: GgmlConfig): Sharing =>
  sharingOf(sharing, tokensFor(measured, config, expectedTokens));

const faultsOfModels: ReadonlySet<string> = new Set(['model_load_failed', 'unsupported_parameter', 'invalid_request']);

/** Any other failure says nothing about the model. */
const isFaultOfModel = ({ code }: CortexError): boolean => faultsOfModels.has(code);

interface Entry {
  readonly bytes: number;
  /** Once `size` says what was found. */
  done: Promise<void>;
  size: KnownSize | null;
  validUntilMs: number;
}

type Sized = Pick<StoredModel, 'id' | 'dir' | 'bytes'>;

export class ModelSizes {
  readonly #measurer: ModelMeasurer;
  readonly #settings: ModelSettings;
  readonly #entries = new Map<string, Entry>();

  constructor(measurer: ModelMeasurer, settings: ModelSettings) {
    this.#measurer = measurer;
    this.#settings = settings;
  }

  /** By folder, what is known after `msMax` at the latest of each model as the operator has it loaded. */
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

  /** Of a single device. Null where it could not be measured: the device will. @throws CortexError why it cannot be loaded. */
  async of(model: Sized, weightType: WeightType): Promise<MeasuredNeeds | null> {
    const { dir } = model;
    const entry = this.#entries.get(dir);
    if (entry?.bytes === model.bytes && weightType === this.#settings.weightType(model)) {
      await entry.done;
      if (entry.size?.kind === 'measured') return entry.size.needs;
    }
    try {
      return await this.#measurer.measure(dir, weightType, 1);
    } catch (thrown) {
      const error = CortexError.from(thrown);
      if (isFaultOfModel(error)) throw error;
      return null;
    }
  }

  close(): Promise<void> {
    return this.#measurer.close();
  }

  #entryOf(model: Sized): Entry {
    const { dir, bytes } = model;
    const known = this.#entries.get(dir);
    if (known?.bytes === bytes && performance.now() < known.validUntilMs) return known;
    // What was known before is better than nothing while it is looked at again.
    const size = known?.bytes === bytes ? known.size : null;
    const entry: Entry = { bytes, size, validUntilMs: Infinity, done: Promise.resolve() };
    entry.done = this.#read(model, entry);
    this.#entries.set(dir, entry);
    return entry;
  }

  async #read(model: Sized, entry: Entry): Promise<void> {
    try {
      const { nDevices, deviceIndices } = this.#settings.place(model.id);
      const n = nDevices ?? 1;
      const needs = await this.#measurer.measure(model.dir, this.#settings.weightType(model), n);
      entry.size = { kind: 'measured', needs, nDevices: n, deviceIndices };
    } catch (thrown) {
      const error = CortexError.from(thrown);
      entry.size = isFaultOfModel(error) ? { kind: 'broken', error } : null;
      entry.validUntilMs = performance.now() + brokenKeptMs;
    }
  }
}
