/** Tensors that a graph is planned over before they have memory: the allocator is to think that they have some. */
import koffi from 'koffi';
import type { BufferType } from './buffer.ts';
import type { Native } from './native.ts';
import type { Tensor } from './tensor.ts';

/** Where `struct ggml_tensor` has its `data`. */
const dataOffset = 248;
/** Any address but null: it is never looked at. */
const nowhere = 0x1000n;

/** Makes the tensor count as allocated. It and its graphs must never be computed, written or read. */
export const asPlaceless = (tensor: Tensor): Tensor => {
  koffi.encode(tensor.ptr, dataOffset, 'void *', nowhere);
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
