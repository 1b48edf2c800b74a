/** An opened ggml device, or several that share models: the only door to models on it. Runs in the device's worker thread. */
import { holdings, OutOfMemoryError, type Backend } from '@cortex/ggml';
import type { ArchModel } from '../arch/arch.ts';
import { configuredArch } from './configured-arch.ts';
import { Caches, kvBytesPerToken, stateBytesPerSlot } from './caches.ts';
import { CausalModel } from './causal-model.ts';
import { hostDevice, memoryOf, openGround, type ComputeGround } from './compute-ground.ts';
import type {
  DeviceHost,
  DeviceHostOptions,
  DeviceMemory,
  DeviceModel,
  LoadProgress,
  ModelOptions,
} from './device-model.ts';
import { largestSteps } from './memory-needs.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { plannedBytes, planLoad, slotsOf, type LoadPlan } from './plan-load.ts';
import { schedulerSizeOf } from './text-step.ts';
import { WeightReader } from './weight-reader.ts';
import { insufficient, Weights } from './weights.ts';

/** With its predictor's weights and cache behind those of its layers, where there is one and it is of use. */
export const forDrafts = (arch: ArchModel, { draftMax = 0 }: Pick<ModelOptions, 'draftMax'>): ArchModel => {
  const { predictor, weights, caches } = arch;
  if (predictor === null || draftMax === 0) return { ...arch, predictor: null };
  return { ...arch, weights: [...weights, ...predictor.weights], caches: [...caches, predictor.cache] };
};

interface LoadedParts {
  readonly plan: LoadPlan;
  readonly weights: Weights;
  readonly positionTable: Float32Array | null;
}

class GgmlHost implements DeviceHost {
  readonly #ground: ComputeGround;
  readonly #threads: number;

  constructor(options: DeviceHostOptions) {
    this.#ground = openGround(options);
    this.#threads = options.threads;
  }

  memory(): DeviceMemory {
    const all = this.#ground.devices.map(memoryOf);
    const sum = (of: (memory: (typeof all)[number]) => number): number =>
      all.reduce((total, memory) => total + of(memory), 0);
    const freeBytes = sum((memory) => memory.freeBytes);
    return { freeBytes, totalBytes: sum((memory) => memory.totalBytes), held: holdings() };
  }

  async loadModel(options: ModelOptions, onProgress: (progress: LoadProgress) => void): Promise<DeviceModel> {
    using checkpoint = await openCheckpoint(options.dir);
    const whole = configuredArch(checkpoint);
    const arch = forDrafts(whole, options);
    const plan = planLoad(this.#ground, checkpoint, arch, options);
    const weights = this.#allocate(plan);
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

  #allocate(plan: LoadPlan): Weights {
    const { devices, group, spread, name } = this.#ground;
    try {
      group?.assertRoom(plannedBytes(plan));
      // The plan of several has looked at what is free of each. Of a spread the last, the host, maps files.
      const isOne = group === null && spread === null;
      const device = spread === null ? devices[0] : (devices.at(-1) ?? devices[0]);
      return new Weights(device, plan.weights, isOne ? this.memory().freeBytes : Infinity);
    } catch (error) {
      throw this.#shortOf(group === null ? 'weights' : `weights and caches of ${name}`, error);
    }
  }

  /** What cannot be had, with what the device says that it has free; other errors as they are. */
  #shortOf(what: string, error: unknown): unknown {
    if (!(error instanceof OutOfMemoryError)) return error;
    const device = this.#ground.devices.find(({ name }) => name === error.where);
    const { freeBytes } = device === undefined ? this.memory() : memoryOf(device);
    return insufficient(what, error.where, error.nBytes, freeBytes);
  }

  /** The CPU, to convert weights with: this very device, or one that is opened for as long as it takes. */
  #converting(): Disposable & { readonly backend: Backend } {
    const { host } = this.#ground;
    if (host !== null) return { backend: host, [Symbol.dispose]: () => {} };
    const backend = hostDevice().open();
    backend.setThreads(this.#threads);
    return { backend, [Symbol.dispose]: () => backend[Symbol.dispose]() };
  }

  #caches(options: ModelOptions, { caches, memory }: LoadPlan): Caches {
    try {
      return new Caches(caches, { nCells: memory[0].kvTokens, nSlots: slotsOf(options) });
    } catch (error) {
      throw this.#shortOf('caches', error);
    }
  }

  #assemble(options: ModelOptions, arch: ArchModel, { plan, weights, positionTable }: LoadedParts): CausalModel {
    const { devices, group, spread, name, newRunner } = this.#ground;
    const { kvTokens, contextMax } = plan.memory[0];
    const size = schedulerSizeOf(arch, { ...options, nWeights: plan.weights.length });
    const model = new CausalModel({
      modelId: options.modelId,
      arch,
      native: devices[0].native,
      newRunner: () => newRunner(size),
      tower: plan.tower,
      readers: group?.bufferType ?? null,
      memberBytes: group === null && spread === null ? [] : plannedBytes(plan),
      parts: plan.parts,
      finer: plan.finer,
      weights,
      caches: this.#caches(options, plan),
      contextMax,
      kvTokens,
      nSlots: options.nSlots,
      kvBytesPerToken: plan.caches.reduce((n, { layer, kvType }) => n + kvBytesPerToken([layer], kvType), 0),
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
      const nBytes = plan.memory.reduce((sum, { parts }) => sum + parts.compute, 0);
      throw insufficient('steps', name, nBytes, this.memory().freeBytes);
    }
  }

  [Symbol.dispose](): void {
    this.#ground[Symbol.dispose]();
  }
}

/** The device worker imports this module by URL. @throws LibraryError, RangeError. */
export const openDevice = (options: DeviceHostOptions): DeviceHost => new GgmlHost(options);
