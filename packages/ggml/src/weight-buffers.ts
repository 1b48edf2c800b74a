/**
 * Buffers besides a device's own that keep weights in a layout its kernels multiply by faster, such as the CPU's
 * repacked rows. A weight there is written whole, is never read back, and is only ever the first operand of a product.
 */
import koffi from 'koffi';
import type { BufferType } from './buffer.ts';
import { Context } from './context.ts';
import type { Device } from './device.ts';
import type { Pointer } from './native.ts';
import * as ops from './ops/index.ts';
import { asPlaceless, EmptyBuffer } from './placeless.ts';
import type { Tensor } from './tensor.ts';
import { tensorTypes, type TensorType } from './types.ts';

const pointerBytes = 8;
/** Columns of the product that is asked about: kernels may want a minimum. */
const nColumns = 512;

/** In the order in which the device prefers them; none for most devices. */
export const weightBufferTypes = (device: Device): readonly BufferType[] => {
  const address = device.procAddress('ggml_backend_dev_get_extra_bufts');
  if (address === null) return [];
  const list = koffi.decode(address, koffi.proto('void *(void *device)')) as (device: Pointer) => Pointer | null;
  const first = list(device.ptr);
  const types: BufferType[] = [];
  for (let i = 0; first !== null; i++) {
    const ptr = koffi.decode(first, i * pointerBytes, 'void *') as Pointer | null;
    if (ptr === null) break;
    types.push({ ptr, name: device.native.ggml_backend_buft_name(ptr) });
  }
  return types;
};

/** The product that a weight of two dimensions is used in, or of three: one matrix an expert. */
const productWith = (ctx: Context, weight: Tensor): Tensor => {
  const [nIn, , nExperts] = weight.ne;
  if (nExperts === 1) return ops.mulMat(ctx, weight, ctx.tensor(tensorTypes.f32, [nIn, nColumns]));
  const x = ctx.tensor(tensorTypes.f32, [nIn, 1, nColumns]);
  return ops.mulMatId(ctx, weight, x, ctx.tensor(tensorTypes.i32, [1, nColumns]));
};

/** Whether the device multiplies by a weight of this type and shape that lies in a buffer of `bufferType`. */
export const takesWeight = (
  device: Device,
  bufferType: BufferType,
  type: TensorType,
  dims: readonly number[],
): boolean => {
  const { native } = device;
  using ctx = new Context(native, { nTensorsMax: 4 });
  using empty = new EmptyBuffer(native, bufferType, 'weights');
  // The question is asked of a node whose operand is in such a buffer.
  const weight = asPlaceless(ctx.tensor(type, dims), empty);
  return device.supports(productWith(ctx, weight));
};

/** Whether the device takes rows by index out of a tensor of this type and shape. */
export const supportsRows = (device: Device, type: TensorType, dims: readonly number[]): boolean => {
  using ctx = new Context(device.native, { nTensorsMax: 3 });
  return device.supports(ops.getRows(ctx, ctx.tensor(type, dims), ctx.tensor(tensorTypes.i32, [1])));
};
