/** Tensors that a graph is planned over before they have memory: the allocator is to think that they have some. */
import koffi from 'koffi';
import type { BufferType } from './buffer.ts';
import { noteFreed, noteHeld } from './holdings.ts';
import type { Native, Pointer } from './native.ts';
import type { Tensor } from './tensor.ts';
import { bufferUsages, type BufferUsage } from './types.ts';

/** Where `struct ggml_tensor` has its `buffer`, behind its type and four bytes of padding. */
const bufferOffset = 8;
/** Where `struct ggml_tensor` has its `data`. */
const dataOffset = 248;
/** Any address but null: it is never looked at. */
const nowhere = 0x1000n;

/** Memory of a type without any bytes. */
export class EmptyBuffer implements Disposable {
  readonly nBytes = 0;
  readonly ptr: Pointer;
  readonly #native: Native;

  constructor(native: Native, type: BufferType, usage: BufferUsage) {
    const ptr = native.ggml_backend_buft_alloc_buffer(type.ptr, 0);
    if (ptr === null) throw new Error(`no buffer of ${type.name}`);
    native.ggml_backend_buffer_set_usage(ptr, bufferUsages[usage]);
    this.#native = native;
    this.ptr = ptr;
    noteHeld(this);
  }

  [Symbol.dispose](): void {
    this.#native.ggml_backend_buffer_free(this.ptr);
    noteFreed(this);
  }
}

/**
 * Makes the tensor count as allocated, in `buffer` where a scheduler is to know on which device. It and its graphs must
 * never be computed, written or read.
 */
export const asPlaceless = (tensor: Tensor, buffer?: EmptyBuffer): Tensor => {
  koffi.encode(tensor.ptr, dataOffset, 'void *', nowhere);
  if (buffer !== undefined) koffi.encode(tensor.ptr, bufferOffset, 'void *', buffer.ptr);
  return tensor;
};

/** Bytes that these tensors would take together in a buffer of this type. */
export const bytesIn = (native: Native, type: BufferType, tensors: readonly Tensor[]): number => {
  const alignment = native.ggml_backend_buft_get_alignment(type.ptr);
  return tensors.reduce((sum, tensor) => {
    const nBytes = native.ggml_backend_buft_get_alloc_size(type.ptr, tensor.ptr);
    return sum + Math.ceil(nBytes / alignment) * alignment;
  }, 0);
};
