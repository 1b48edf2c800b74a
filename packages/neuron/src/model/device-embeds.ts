/** Rows of the language model's width that a vision tower made, on the device. */
import { Buffer, Context, tensorTypes, type BufferType, type Native, type Tensor } from '@cortex/ggml';
import type { ImageEmbeds } from './device-model.ts';

/** One image's rows in a buffer of their own. */
export class DeviceEmbeds implements ImageEmbeds {
  readonly nTokens: number;
  /** f32 [hidden, nTokens] */
  readonly tensor: Tensor;
  readonly #context: Context;
  readonly #buffer: Buffer;

  constructor(native: Native, type: BufferType, hidden: number, nTokens: number) {
    this.#context = new Context(native, { nTensorsMax: 1 });
    this.tensor = this.#context.tensor(tensorTypes.f32, [hidden, nTokens]);
    this.#buffer = Buffer.allocate(this.#context, type);
    this.nTokens = nTokens;
  }

  read(): Float32Array {
    return this.tensor.read(new Float32Array(this.tensor.nElements));
  }

  [Symbol.dispose](): void {
    this.#buffer[Symbol.dispose]();
    this.#context[Symbol.dispose]();
  }
}
