/** An opened ggml device, or a group of them: the only door to models on it. Runs in the device's worker thread. */
import { holdings, openLibrary, OutOfMemoryError, type Backend } from '@cortex/ggml';
import type { ArchModel } from '../arch/arch.ts';
import { archOf } from '../arch/registry.ts';
import { Caches, kvBytesPerToken, stateBytesPerSlot } from './caches.ts';
import { CausalModel } from './causal-model.ts';
import { memoryOf, openGround, type ComputeGround } from './compute-ground.ts';
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

  constructor({ index, others = [], threads }: DeviceHostOptions) {
    this.#ground = openGround([index, ...others], threads);
    this.#threads = threads;
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
    const whole = archOf(checkpoint.config).configure(checkpoint.config, checkpoint);
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
    const { devices, group, name } = this.#ground;
    if (group === null) return new Weights(devices[0], plan.weights, this.memory().freeBytes);
    try {
      group.assertRoom(plannedBytes(plan));
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      throw insufficient(`weights and caches of ${name}`, error.where, error.nBytes, this.memory().freeBytes);
    }
    return new Weights(devices[0], plan.weights, Infinity);
  }

  /** The CPU, to convert weights with: this very device, or one that is opened for as long as it takes. */
  #converting(): Disposable & { readonly backend: Backend } {
    const { devices, first } = this.#ground;
    if (devices[0].type === 'cpu') return { backend: first.backend, [Symbol.dispose]: () => {} };
    const cpu = openLibrary().devices.find(({ type }) => type === 'cpu');
    if (cpu === undefined) throw new Error('ggml finds no CPU to convert weights with');
    const backend = cpu.open();
    backend.setThreads(this.#threads);
    return { backend, [Symbol.dispose]: () => backend[Symbol.dispose]() };
  }

  #caches(options: ModelOptions, arch: ArchModel, { kvType, memory, splits }: LoadPlan): Caches {
    const { devices, bufferType } = this.#ground;
    const size = { kvType, nCells: memory[0].kvTokens, nSlots: slotsOf(options) };
    const place = {
      native: devices[0].native,
      type: bufferType,
      isHost: devices[0].type === 'cpu' && splits === null,
      splits,
    };
    try {
      return new Caches(place, arch.caches, size);
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      throw insufficient('caches', bufferType.name, error.nBytes, this.memory().freeBytes);
    }
  }

  #assemble(options: ModelOptions, arch: ArchModel, { plan, weights, positionTable }: LoadedParts): CausalModel {
    const { backend, bufferType, first, group } = this.#ground;
    const { kvTokens, contextMax, parts } = plan.memory[0];
    const model = new CausalModel({
      modelId: options.modelId,
      arch,
      backend,
      bufferType,
      tower: first,
      groupBytes: group === null ? null : plannedBytes(plan).reduce((sum, nBytes) => sum + nBytes, 0),
      weights,
      caches: this.#caches(options, arch, plan),
      contextMax,
      kvTokens,
      nSlots: options.nSlots,
      kvBytesPerToken: kvBytesPerToken(arch.caches, plan.kvType),
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
      throw insufficient('steps', bufferType.name, parts.compute, this.memory().freeBytes);
    }
  }

  [Symbol.dispose](): void {
    this.#ground[Symbol.dispose]();
  }
}

/** The device worker imports this module by URL. @throws LibraryError, RangeError. */
export const openDevice = (options: DeviceHostOptions): DeviceHost => new GgmlHost(options);
