/** A model's weights on a device, by name. */
import { CortexError } from '@cortex/core';
import {
  Buffer,
  Context,
  OutOfMemoryError,
  tensorTypes,
  type BufferType,
  type Native,
  type Tensor,
  type TensorType,
} from '@cortex/ggml';
import type { Checkpoint } from './checkpoint.ts';
import type { LoadProgress, ModelOptions } from './device-model.ts';
import { checkWeights, sourceType, WeightReader } from './weight-loader.ts';
import type { WeightSpec } from './weight-spec.ts';

export interface WeightPlan {
  readonly spec: WeightSpec;
  readonly type: TensorType;
}

/** bf16 products on a CPU round activations to 8 bits of mantissa; f16 holds the same weights and keeps 11. */
const matrixType = (wanted: ModelOptions['weightType'], source: TensorType, isHost: boolean): TensorType => {
  if (wanted !== 'auto') return tensorTypes[wanted];
  return source === tensorTypes.bf16 && isHost ? tensorTypes.f16 : source;
};

/** Types for every weight. @throws CortexError `model_load_failed` for missing or misshapen tensors. */
export const planWeights = (
  checkpoint: Checkpoint,
  specs: readonly WeightSpec[],
  options: { readonly wanted: ModelOptions['weightType']; readonly isHost: boolean },
): WeightPlan[] => {
  checkWeights(checkpoint, specs);
  return specs.map((spec) => ({
    spec,
    type:
      spec.precision === 'exact'
        ? tensorTypes.f32
        : matrixType(options.wanted, sourceType(checkpoint, spec), options.isHost),
  }));
};

export class Weights implements Disposable {
  readonly nBytes: number;
  readonly #context: Context;
  readonly #buffer: Buffer;
  readonly #tensors = new Map<string, Tensor>();
  readonly #plans: readonly WeightPlan[];

  /** Allocates without reading. @throws CortexError `insufficient_vram` with what was needed and what is free. */
  constructor(native: Native, type: BufferType, plans: readonly WeightPlan[], freeBytes: number) {
    this.#plans = plans;
    this.#context = new Context(native, { nTensorsMax: plans.length });
    for (const { spec, type: of } of plans) {
      this.#tensors.set(spec.name, this.#context.tensor(of, spec.ne).named(spec.name));
    }
    try {
      const needed = Buffer.sizeFor(this.#context, type);
      if (needed > freeBytes) throw new OutOfMemoryError(type.name, needed);
      this.#buffer = Buffer.allocate(this.#context, type, 'weights');
    } catch (error) {
      this.#context[Symbol.dispose]();
      if (!(error instanceof OutOfMemoryError)) throw error;
      throw insufficient('weights', type.name, error.nBytes, freeBytes);
    }
    this.nBytes = this.#buffer.nBytes;
  }

  /** Reads every weight, yielding now and then so that the thread can do other work. */
  async fill(native: Native, checkpoint: Checkpoint, onProgress: (progress: LoadProgress) => void): Promise<void> {
    const reader = new WeightReader(native, checkpoint);
    let nBytesDone = 0;
    for (const { spec, type } of this.#plans) {
      const tensor = this.get(spec.name);
      for (const { bytes, offset } of reader.pieces(spec, type)) {
        tensor.write(bytes, offset);
        nBytesDone += bytes.length;
        onProgress({ fraction: Math.min(1, nBytesDone / this.nBytes), phase: 'reading weights' });
        await new Promise(setImmediate);
      }
    }
  }

  get(name: string): Tensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) throw new Error(`the model has no weight ${name}`);
    return tensor;
  }

  [Symbol.dispose](): void {
    this.#buffer[Symbol.dispose]();
    this.#context[Symbol.dispose]();
  }
}

const mb = (nBytes: number): number => Math.ceil(nBytes / 2 ** 20);

export const insufficient = (what: string, where: string, neededBytes: number, freeBytes: number): CortexError =>
  new CortexError(
    'insufficient_vram',
    `${where}: the ${what} need ${mb(neededBytes)} MB, ${mb(freeBytes)} MB are free`,
    { facts: { needed_mb: mb(neededBytes), free_mb: mb(freeBytes) } },
  );
