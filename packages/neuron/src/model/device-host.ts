/** An opened ggml device: the only door to models on it. Runs in the device's worker thread. */
import { freemem } from 'node:os';
import { holdings, openLibrary, OutOfMemoryError, type Backend, type Device } from '@cortex/ggml';
import type { ArchModel } from '../arch/arch.ts';
import { archOf } from '../arch/registry.ts';
import { Caches, kvBytesPerToken, stateBytesPerSlot } from './caches.ts';
import { CausalModel } from './causal-model.ts';
import type {
  DeviceHost,
  DeviceHostOptions,
  DeviceMemory,
  DeviceModel,
  LoadProgress,
  ModelOptions,
} from './device-model.ts';
import { kvTypeFor } from './kv-types.ts';
import { largestSteps, measureNeeds } from './memory-needs.ts';
import { kvShareOf, planMemory, shortage, type MemoryPlan } from './memory-plan.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { planWeights, type WeightPlan } from './weight-plan.ts';
import { WeightReader } from './weight-reader.ts';
import { insufficient, Weights } from './weights.ts';

/** Of recurrent states: one for each sequence, and one for drafts. */
const slotsOf = ({ nSlots, draftMax = 0 }: ModelOptions): number => nSlots + (draftMax > 0 ? 1 : 0);

/** With its predictor's weights and cache behind those of its layers, where there is one and it is of use. */
export const forDrafts = (arch: ArchModel, { draftMax = 0 }: Pick<ModelOptions, 'draftMax'>): ArchModel => {
  const { predictor, weights, caches } = arch;
  if (predictor === null || draftMax === 0) return { ...arch, predictor: null };
  return { ...arch, weights: [...weights, ...predictor.weights], caches: [...caches, predictor.cache] };
};

interface LoadedParts {
  readonly plan: MemoryPlan;
  readonly weights: Weights;
  readonly positionTable: Float32Array | null;
}

class GgmlHost implements DeviceHost {
  readonly #device: Device;
  readonly #backend: Backend;
  readonly #threads: number;

  constructor({ index, threads }: DeviceHostOptions) {
    const device = openLibrary().devices[index];
    if (device === undefined) throw new RangeError(`there is no device ${index}`);
    this.#device = device;
    this.#threads = threads;
    this.#backend = device.open();
    this.#backend.setThreads(threads);
  }

  /** ggml calls all of a host's memory free: there the system is asked. */
  memory(): DeviceMemory {
    const { freeBytes, totalBytes } = this.#device.memory();
    const isHost = this.#device.type === 'cpu';
    return { freeBytes: isHost ? Math.min(freeBytes, freemem()) : freeBytes, totalBytes, held: holdings() };
  }

  async loadModel(options: ModelOptions, onProgress: (progress: LoadProgress) => void): Promise<DeviceModel> {
    using checkpoint = await openCheckpoint(options.dir);
    const arch = forDrafts(archOf(checkpoint.config).configure(checkpoint.config, checkpoint), options);
    const specs = [...arch.weights, ...(arch.vision?.weights ?? [])];
    const plans = planWeights(checkpoint, specs, { wanted: options.weightType, device: this.#device });
    const plan = this.#plan(options, arch, plans);
    const weights = new Weights(this.#device, plans, this.memory().freeBytes);
    try {
      using converting = this.#converting();
      using reader = new WeightReader(checkpoint, converting.backend);
      await weights.fill(checkpoint, reader, onProgress);
      const positionTable = arch.vision === null ? null : reader.readF32(arch.vision.positionTable);
      return this.#assemble(options, arch, { plan, weights, positionTable });
    } catch (error) {
      weights[Symbol.dispose]();
      throw error;
    }
  }

  /** The CPU, to convert weights with: this very device, or one that is opened for as long as it takes. */
  #converting(): Disposable & { readonly backend: Backend } {
    if (this.#device.type === 'cpu') return { backend: this.#backend, [Symbol.dispose]: () => {} };
    const cpu = openLibrary().devices.find(({ type }) => type === 'cpu');
    if (cpu === undefined) throw new Error('ggml finds no CPU to convert weights with');
    const backend = cpu.open();
    backend.setThreads(this.#threads);
    return { backend, [Symbol.dispose]: () => backend[Symbol.dispose]() };
  }

  #assemble(options: ModelOptions, arch: ArchModel, { plan, weights, positionTable }: LoadedParts): CausalModel {
    const isHost = this.#device.type === 'cpu';
    const kvType = kvTypeFor(this.#device, arch.caches, options.kvCacheType);
    const { kvTokens, contextMax } = plan;
    const size = { kvType, nCells: kvTokens, nSlots: slotsOf(options) };
    const { bufferType } = this.#device;
    let caches: Caches;
    try {
      caches = new Caches(this.#device.native, bufferType, arch.caches, size, isHost);
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      throw insufficient('caches', bufferType.name, error.nBytes, this.memory().freeBytes);
    }
    const model = new CausalModel({
      modelId: options.modelId,
      arch,
      backend: this.#backend,
      bufferType,
      weights,
      caches,
      contextMax,
      kvTokens,
      nSlots: options.nSlots,
      kvBytesPerToken: kvBytesPerToken(arch.caches, kvType),
      stateBytes: stateBytesPerSlot(arch.caches),
      spareSlot: (options.draftMax ?? 0) > 0 ? options.nSlots : null,
      draftMax: options.draftMax ?? 0,
      positionTable,
    });
    try {
      model.reserve(largestSteps({ draftMax: 0, ...options }, contextMax));
      return model;
    } catch (error) {
      model[Symbol.dispose]();
      if (!(error instanceof OutOfMemoryError)) throw error;
      throw insufficient('steps', bufferType.name, plan.parts.compute, this.memory().freeBytes);
    }
  }

  /** @throws CortexError `insufficient_vram` with what is needed, by what, and what is free. */
  #plan(options: ModelOptions, arch: ArchModel, plans: readonly WeightPlan[]): MemoryPlan {
    const { nSlots, chunkMax, draftMax = 0, patchesMax = 0 } = options;
    const kvType = kvTypeFor(this.#device, arch.caches, options.kvCacheType);
    const nStates = slotsOf(options);
    const device = this.#device;
    const needs = measureNeeds({ device, arch, plans, kvType, nSlots, nStates, chunkMax, draftMax, patchesMax });
    const decision = planMemory(needs, {
      freeBytes: this.memory().freeBytes,
      contextMax: Math.min(arch.contextMax, options.contextMax ?? arch.contextMax),
      kvTokens: options.kvTokens,
      nSlots,
      kvShare: kvShareOf(this.#device.type === 'cpu' ? 'host' : 'device'),
    });
    if (decision.kind === 'short') throw shortage(decision, this.#device.name);
    return decision.plan;
  }

  [Symbol.dispose](): void {
    this.#backend[Symbol.dispose]();
  }
}

/** The device worker imports this module by URL. @throws LibraryError, RangeError. */
export const openDevice = (options: DeviceHostOptions): DeviceHost => new GgmlHost(options);
