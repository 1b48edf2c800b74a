/** Conversion of rows between number types on the host, by ggml's own routines. */
import type { Bytes, Native } from './native.ts';
import { rowBytes, tensorTypes, type TensorType } from './types.ts';

const check = (what: string, bytes: Bytes, want: number): void => {
  if (bytes.byteLength < want) throw new RangeError(`${what}: ${bytes.byteLength} bytes, ${want} needed`);
};

/** `n` elements of f32, f16 or bf16 to f32. */
export const toF32 = (native: Native, type: TensorType, source: Bytes, target: Float32Array, n: number): void => {
  check('toF32: source', source, rowBytes(type, n));
  check('toF32: target', target, n * 4);
  if (type === tensorTypes.f32) {
    target.set(new Float32Array(source.buffer.slice(source.byteOffset, source.byteOffset + n * 4)));
  } else if (type === tensorTypes.f16) native.ggml_fp16_to_fp32_row(source, target, n);
  else if (type === tensorTypes.bf16) native.ggml_bf16_to_fp32_row(source, target, n);
  else throw new RangeError(`toF32: no conversion from ${type.name}`);
};

/** Whole rows of `nPerRow` f32 values to any storable type. */
export const fromF32 = (
  native: Native,
  type: TensorType,
  source: Float32Array,
  target: Uint8Array,
  shape: { readonly nRows: number; readonly nPerRow: number },
): void => {
  const n = shape.nRows * shape.nPerRow;
  check('fromF32: source', source, n * 4);
  check('fromF32: target', target, rowBytes(type, shape.nPerRow) * shape.nRows);
  if (type === tensorTypes.f32) {
    target.set(new Uint8Array(source.buffer, source.byteOffset, n * 4));
  } else if (type === tensorTypes.f16) native.ggml_fp32_to_fp16_row(source, target, n);
  else if (type === tensorTypes.bf16) native.ggml_fp32_to_bf16_row(source, target, n);
  else native.ggml_quantize_chunk(type.id, source, target, 0, shape.nRows, shape.nPerRow, null);
};
