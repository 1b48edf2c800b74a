/** Device memory that holds the data of all tensors of one context. */
import type { Context } from './context.ts';
import { noteFreed, noteHeld } from './holdings.ts';
import type { Native, Pointer } from './native.ts';
import type { Tensor } from './tensor.ts';
import type { TensorSplit } from './tensor-split.ts';
import { bufferUsages, type BufferUsage } from './types.ts';

export interface BufferType {
  readonly ptr: Pointer;
  /** For messages. */
  readonly name: string;
  /** Of a group of devices: where it keeps how its tensors are dealt out. */
  readonly splits?: {
    set(tensor: Tensor, split: TensorSplit): void;
    delete(tensor: Tensor): void;
  };
  /** Of a group of devices: what one of them can hold of a buffer. Others are made of several where they must be. */
  readonly pieceBytesMax?: number;
}

const noSplits: ReadonlyMap<Tensor, TensorSplit> = new Map();

export class OutOfMemoryError extends Error {
  override readonly name = 'OutOfMemoryError';
  readonly where: string;
  readonly nBytes: number;

  constructor(where: string, nBytes: number) {
    super(`${where} cannot allocate ${(nBytes / 2 ** 20).toFixed(1)} MiB`);
    this.where = where;
    this.nBytes = nBytes;
  }
}

export class Buffer implements Disposable {
  readonly nBytes: number;
  readonly #native: Native;
  readonly #context: Context;
  #ptr: Pointer | null;
  #forget: () => void = () => {};

  private constructor(context: Context, ptr: Pointer) {
    this.#native = context.native;
    this.#context = context;
    this.#ptr = ptr;
    this.nBytes = this.#native.ggml_backend_buffer_get_size(ptr);
    context.hasMemory = true;
    noteHeld(this);
  }

  /** Bytes that `allocate` would take. */
  static sizeFor(context: Context, type: BufferType): number {
    return context.native.ggml_backend_alloc_ctx_tensors_from_buft_size(context.ptr, type.ptr);
  }

  /**
   * Gives memory to every tensor of the context. Its content is undefined. In a group of devices, tensors of `splits`
   * are dealt out. @throws OutOfMemoryError.
   */
  static allocate(
    context: Context,
    type: BufferType,
    usage: BufferUsage = 'any',
    splits: ReadonlyMap<Tensor, TensorSplit> = noSplits,
  ): Buffer {
    const { native } = context;
    for (const [tensor, split] of splits) type.splits?.set(tensor, split);
    const ptr = native.ggml_backend_alloc_ctx_tensors_from_buft(context.ptr, type.ptr);
    if (ptr === null) throw new OutOfMemoryError(type.name, Buffer.sizeFor(context, type));
    native.ggml_backend_buffer_set_usage(ptr, bufferUsages[usage]);
    const buffer = new Buffer(context, ptr);
    context.bufferType = type;
    buffer.#forget = () => splits.forEach((_, tensor) => type.splits?.delete(tensor));
    return buffer;
  }

  /**
   * Gives each tensor of the context the place in the host's memory, `address` to `address + nBytes`, that `places`
   * names: the tensor uses the bytes that are there. The memory stays the caller's. Null where the device cannot.
   */
  static over(
    context: Context,
    device: Pointer,
    memory: { readonly address: Pointer; readonly nBytes: number },
    places: ReadonlyMap<Tensor, Pointer>,
  ): Buffer | null {
    const { native } = context;
    const ptr = native.ggml_backend_dev_buffer_from_host_ptr(device, memory.address, memory.nBytes, memory.nBytes);
    if (ptr === null) return null;
    for (const [tensor, address] of places) {
      const offset = Number(address - memory.address);
      if (offset < 0 || offset + tensor.nBytes > memory.nBytes) throw new RangeError('a tensor outside its memory');
      native.ggml_backend_tensor_alloc(ptr, tensor.ptr, address);
    }
    native.ggml_backend_buffer_set_usage(ptr, bufferUsages.weights);
    return new Buffer(context, ptr);
  }

  /** Sets every byte. */
  clear(value = 0): void {
    if (this.#ptr === null) throw new Error('the buffer has been freed');
    this.#native.ggml_backend_buffer_clear(this.#ptr, value);
  }

  [Symbol.dispose](): void {
    if (this.#ptr === null) return;
    this.#native.ggml_backend_buffer_free(this.#ptr);
    this.#ptr = null;
    noteFreed(this);
    this.#forget();
    this.#context.hasMemory = false;
    this.#context.bufferType = null;
  }
}
