/**
 * A tensor handle: the C pointer with its type, its shape `ne` (fastest dimension first) and its strides `nb` in
 * bytes, all known here so that shapes are checked before any native call. It dies with its context.
 */
import type { Context } from './context.ts';
import type { Bytes, Pointer } from './native.ts';
import type { TensorType } from './types.ts';

export type Shape = readonly [number, number, number, number];

export const shapeText = (ne: Shape): string => {
  const last = ne.findLastIndex((n) => n !== 1);
  return `[${ne.slice(0, Math.max(last, 0) + 1).join(', ')}]`;
};

/** `dims` padded with ones to four. @throws RangeError for other than positive integers. */
export const shapeOf = (dims: readonly number[]): Shape => {
  if (dims.length < 1 || dims.length > 4 || dims.some((n) => !Number.isSafeInteger(n) || n < 1)) {
    throw new RangeError(`not a tensor shape: [${dims.join(', ')}]`);
  }
  return [dims[0] ?? 1, dims[1] ?? 1, dims[2] ?? 1, dims[3] ?? 1];
};

/** Strides of a contiguous tensor. */
export const contiguousStrides = (type: TensorType, ne: Shape): Shape => {
  const nb1 = (type.blockBytes * ne[0]) / type.blockSize;
  return [type.blockBytes, nb1, nb1 * ne[1], nb1 * ne[1] * ne[2]];
};

export class Tensor {
  readonly context: Context;
  readonly type: TensorType;
  readonly ne: Shape;
  readonly nb: Shape;
  readonly #ptr: Pointer;

  constructor(context: Context, ptr: Pointer, type: TensorType, ne: Shape, nb: Shape) {
    this.context = context;
    this.#ptr = ptr;
    this.type = type;
    this.ne = ne;
    this.nb = nb;
  }

  /** @throws Error once the context is freed. */
  get ptr(): Pointer {
    this.context.assertAlive();
    return this.#ptr;
  }

  get nElements(): number {
    return this.ne[0] * this.ne[1] * this.ne[2] * this.ne[3];
  }

  get nRows(): number {
    return this.ne[1] * this.ne[2] * this.ne[3];
  }

  /** Bytes of a contiguous tensor of this shape. */
  get nBytes(): number {
    return this.nb[3] * this.ne[3];
  }

  get isContiguous(): boolean {
    const want = contiguousStrides(this.type, this.ne);
    return this.nb.every((stride, dim) => stride === want[dim] || this.ne[dim] === 1);
  }

  /** For messages and for finding a node again: at most 63 bytes are kept. */
  named(name: string): this {
    this.context.native.ggml_set_name(this.ptr, name);
    return this;
  }

  /** Keeps the allocator from reusing this input's memory while the graph runs. */
  asInput(): this {
    this.context.native.ggml_set_input(this.ptr);
    return this;
  }

  /** Keeps the allocator from reusing this result's memory. */
  asOutput(): this {
    this.context.native.ggml_set_output(this.ptr);
    return this;
  }

  /** Copies host bytes in, beginning at `offset` bytes. The tensor must be allocated. */
  write(data: Bytes, offset = 0): void {
    this.#checkRange('write', offset, data.byteLength);
    this.context.native.ggml_backend_tensor_set(this.ptr, data, offset, data.byteLength);
  }

  /** Copies out into all of `target`, beginning at `offset` bytes. */
  read<T extends Bytes>(target: T, offset = 0): T {
    this.#checkRange('read', offset, target.byteLength);
    this.context.native.ggml_backend_tensor_get(this.ptr, target, offset, target.byteLength);
    return target;
  }

  /** Sets every byte of a range, the whole tensor by default. */
  fill(value: number, offset = 0, nBytes = this.nBytes - offset): void {
    this.#checkRange('fill', offset, nBytes);
    this.context.native.ggml_backend_tensor_memset(this.ptr, value, offset, nBytes);
  }

  #checkRange(what: string, offset: number, nBytes: number): void {
    this.context.assertAlive();
    if (!this.context.hasMemory) throw new Error(`${what}: tensor ${shapeText(this.ne)} has no memory`);
    if (!this.isContiguous) throw new RangeError(`${what}: tensor ${shapeText(this.ne)} is not contiguous`);
    if (!(offset >= 0 && offset + nBytes <= this.nBytes)) {
      throw new RangeError(`${what}: bytes ${offset}..${offset + nBytes} of a tensor of ${this.nBytes}`);
    }
  }
}
