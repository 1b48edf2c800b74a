/**
 * Which models are loaded, and who uses them. One load per model however many ask; one load at a time, so that the
 * memory one was given is taken before the next is measured. A lease holds a model from "ready" to "answer ended":
 * nothing is unloaded under it unless by force. Every decision is made and written down without an `await` between.
 */
import { CortexError, type UnloadRequest } from '@cortex/core';
import type { LoadProgress } from '../model/device-model.ts';
import { anyLoad, type LoadOptions } from './load-options.ts';
import { LoadTimes } from './load-times.ts';
import { closeModel, requireWorkingDevice, type LoadedModel } from './loaded-model.ts';
import type { KnownModel } from './model-catalogue.ts';
import { untilAborted } from './until-aborted.ts';

export type ModelState =
  | { readonly kind: 'available' }
  | { readonly kind: 'loading'; progress: LoadProgress; readonly startedMs: number; readonly done: Promise<void> }
  | { readonly kind: 'loaded'; readonly model: LoadedModel }
  | { readonly kind: 'unloading'; readonly model: LoadedModel; readonly done: Promise<void> }
  | { readonly kind: 'failed'; readonly error: CortexError; readonly atMs: number };

/** A model that stays until it is released. */
export interface Lease {
  readonly model: LoadedModel;
  /** The caller's signal, or the model is taken away by force. */
  readonly signal: AbortSignal;
  release(): void;
}

export type UnloadMode = NonNullable<UnloadRequest['mode']>;

interface Entry {
  state: ModelState;
  /** Requests that have the model. */
  readonly holders: Set<AbortController>;
  /** Requests that wait for it. */
  readonly waiting: Set<AbortController>;
  /** Woken when the last holder has gone. */
  readonly onFree: (() => void)[];
  lastUsedMs: number | null;
}

export interface ModelRegistryOptions {
  load(known: KnownModel, options: LoadOptions, onProgress: (progress: LoadProgress) => void): Promise<LoadedModel>;
  /** A load or an unload has ended, well or not. */
  readonly onMoved?: () => void;
  readonly now?: () => number;
}

/** Requests that come this soon after a failed load get its error: a broken checkpoint is not read for each of them. */
const failureKeptMs = 5000;
/** A request whose client does not read cannot notice that it has ended; it is not waited for longer. */
const forceSettleMs = 2000;

const available: ModelState = { kind: 'available' };

const takenAway = (id: string): CortexError =>
  new CortexError('overloaded', `${id} was unloaded`, { facts: { model_id: id } });

export class ModelRegistry {
  readonly #options: ModelRegistryOptions;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();
  readonly #times = new LoadTimes();
  #lastLoad: Promise<unknown> = Promise.resolve();
  #closed: CortexError | null = null;

  constructor(options: ModelRegistryOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Never loads nor counts as use. */
  stateOf(id: string): ModelState {
    return this.#entries.get(id)?.state ?? available;
  }

  /** Those that are on a device now. */
  loaded(): readonly { readonly model: LoadedModel; readonly nHolders: number; readonly idleMs: number | null }[] {
    return [...this.#entries.values()].flatMap(({ state, holders, lastUsedMs }) =>
      state.kind === 'loaded' || state.kind === 'unloading'
        ? [
            {
              model: state.model,
              nHolders: holders.size,
              idleMs: lastUsedMs === null ? null : this.#now() - lastUsedMs,
            },
          ]
        : [],
    );
  }

  etaSecs(known: KnownModel): number | null {
    const state = this.stateOf(known.id);
    if (state.kind !== 'loading') return null;
    return this.#times.etaSecs(known.id, known.bytes, this.#now() - state.startedMs, state.progress.fraction);
  }

  /** Resolves when it is loaded as asked. @throws what the load threw; `invalid_request` when it is loaded otherwise. */
  async load(known: KnownModel, options: LoadOptions): Promise<void> {
    for (;;) {
      const entry = this.#entryOf(known.id);
      const { state } = entry;
      switch (state.kind) {
        case 'loaded':
          if (state.model.device.poisonedReason === null) return checkLoadedAs(state.model, options);
          // It can answer nothing there; another device may take it.
          entry.state = available;
          void closeModel(state.model).catch(() => {});
          break;
        case 'unloading':
          await state.done;
          break;
        case 'loading':
          await state.done;
          break;
        case 'available':
        case 'failed':
          await this.#start(entry, known, options);
          break;
      }
    }
  }

  /** Loads the model first if it is not. @throws what the load threw, or the signal's reason: the load itself goes on. */
  async lease(known: KnownModel, signal: AbortSignal): Promise<Lease> {
    const entry = this.#entryOf(known.id);
    const controller = new AbortController();
    const either = AbortSignal.any([signal, controller.signal]);
    entry.waiting.add(controller);
    try {
      for (;;) {
        either.throwIfAborted();
        if (this.#closed !== null) throw this.#closed;
        const { state } = entry;
        if (state.kind === 'loaded') {
          requireWorkingDevice(state.model);
          return this.#hold(entry, state.model, controller, either);
        }
        if (state.kind === 'failed' && this.#now() - state.atMs < failureKeptMs) throw state.error;
        await untilAborted(this.load(known, anyLoad), either);
      }
    } finally {
      entry.waiting.delete(controller);
    }
  }

  /** Resolves once the memory is free, also where it was free before. @throws CortexError `model_busy` in mode `refuse`. */
  async unload(id: string, mode: UnloadMode): Promise<void> {
    for (;;) {
      const entry = this.#entries.get(id);
      const state = entry?.state ?? available;
      if (entry === undefined || state.kind === 'available') return;
      switch (state.kind) {
        case 'failed':
          entry.state = available;
          return;
        case 'loading':
          if (mode === 'refuse') throw busy(id, 'it is being loaded');
          await state.done.catch(() => {});
          break;
        case 'loaded':
          if (mode === 'refuse' && entry.holders.size > 0) throw busy(id, `${entry.holders.size} requests use it`);
          return this.#unload(entry, state.model, mode);
        case 'unloading':
          if (mode === 'force') abortAll(entry.holders, takenAway(id));
          return state.done;
      }
    }
  }

  /** Nothing new is leased; resolves when all leases have ended, those that outlast the grace aborted. */
  async close(graceMs: number): Promise<void> {
    const closed = new CortexError('overloaded', 'this neuron is shutting down', { retryAfterSecs: 5 });
    this.#closed = closed;
    const entries = [...this.#entries.values()];
    for (const { waiting } of entries) abortAll(waiting, closed);
    await Promise.all(entries.map((entry) => this.#freeWithin(entry, graceMs)));
    for (const { holders } of entries) abortAll(holders, closed);
    await Promise.all(entries.map((entry) => this.#freeWithin(entry, forceSettleMs)));
  }

  #entryOf(id: string): Entry {
    const entry = this.#entries.get(id) ?? {
      state: available,
      holders: new Set(),
      waiting: new Set(),
      onFree: [],
      lastUsedMs: null,
    };
    this.#entries.set(id, entry);
    return entry;
  }

  #hold(entry: Entry, model: LoadedModel, controller: AbortController, signal: AbortSignal): Lease {
    entry.holders.add(controller);
    entry.lastUsedMs = this.#now();
    const release = (): void => {
      if (!entry.holders.delete(controller)) return;
      entry.lastUsedMs = this.#now();
      if (entry.holders.size === 0) for (const wake of entry.onFree.splice(0)) wake();
    };
    return { model, signal, release };
  }

  #start(entry: Entry, known: KnownModel, options: LoadOptions): Promise<void> {
    if (this.#closed !== null) return Promise.reject(this.#closed);
    const startedMs = this.#now();
    const onProgress = (progress: LoadProgress): void => {
      if (entry.state.kind === 'loading') entry.state.progress = progress;
    };
    const done = this.#lastLoad.then(() => this.#load(entry, known, options, onProgress));
    this.#lastLoad = done.catch(() => {});
    entry.state = { kind: 'loading', progress: { fraction: 0, phase: 'waiting' }, startedMs, done };
    return done;
  }

  async #load(
    entry: Entry,
    known: KnownModel,
    options: LoadOptions,
    onProgress: (progress: LoadProgress) => void,
  ): Promise<void> {
    const startedMs = this.#now();
    try {
      const model = await this.#options.load(known, options, onProgress);
      this.#times.record(known.id, known.bytes, this.#now() - startedMs);
      entry.state = { kind: 'loaded', model };
    } catch (thrown) {
      const error = CortexError.from(thrown);
      entry.state = { kind: 'failed', error, atMs: this.#now() };
      throw error;
    } finally {
      this.#options.onMoved?.();
    }
  }

  #unload(entry: Entry, model: LoadedModel, mode: UnloadMode): Promise<void> {
    const { id } = model.known;
    const run = async (): Promise<void> => {
      if (mode === 'force') abortAll(entry.holders, takenAway(id));
      await this.#freeWithin(entry, mode === 'force' ? forceSettleMs : null);
      try {
        await closeModel(model);
        entry.state = available;
      } catch (thrown) {
        const error = CortexError.from(thrown);
        entry.state = { kind: 'failed', error, atMs: this.#now() };
        throw error;
      } finally {
        this.#options.onMoved?.();
      }
    };
    // `run` may not read or write the state before this line has: hence the turn in between.
    const done = Promise.resolve().then(run);
    entry.state = { kind: 'unloading', model, done };
    return done;
  }

  /** Resolves when nobody holds the model, or after `ms`; null waits for as long as it takes. */
  async #freeWithin(entry: Entry, ms: number | null): Promise<void> {
    if (entry.holders.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = ms === null ? undefined : setTimeout(resolve, ms);
      entry.onFree.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

const busy = (id: string, why: string): CortexError =>
  new CortexError('model_busy', `${id} cannot be unloaded: ${why}`, { facts: { model_id: id } });

const abortAll = (controllers: ReadonlySet<AbortController>, reason: CortexError): void => {
  for (const controller of controllers) controller.abort(reason);
};

const checkLoadedAs = ({ known, weightType, device, loaded }: LoadedModel, wanted: LoadOptions): void => {
  const isSpread = loaded.parts.length > 0;
  const isElsewhere =
    wanted.mayOffload === true
      ? // It is on as many of them as it takes.
        !device.members.every((index) => wanted.deviceIndices?.includes(index) ?? true)
      : (wanted.nDevices !== null && wanted.nDevices !== device.members.length) ||
        (wanted.deviceIndices !== null && !wanted.deviceIndices.every((index) => device.members.includes(index))) ||
        (isSpread && (wanted.mayOffload === false || (wanted.nDevices ?? 1) > 1));
  const differs = (wanted.weightType !== null && wanted.weightType !== weightType) || isElsewhere;
  if (!differs) return;
  throw new CortexError(
    'invalid_request',
    `${known.id} is loaded as ${weightType} on device ${device.members.join(' and ')}; unload it first to load it otherwise`,
    { facts: { model_id: known.id } },
  );
};
