/**
 * The number type of each weight, from what was asked for and what the weight is used for. Pure. Quantised types come
 * in blocks along a row: rows that are no whole number of blocks fall back to a finer type with smaller ones.
 */
import type { QuantName } from '@cortex/core';
import { tensorTypes, type TensorType } from '@cortex/ggml';
import type { WeightRole } from './weight-spec.ts';

const { f32, f16, bf16, q8_0, q6_K, q5_K, q4_K, q5_1, q5_0, q4_0, iq4_nl, iq4_xs } = tensorTypes;

/** What weights can be asked to be, by the name that `quant` has it under. */
export const quantTypes = {
  f32,
  f16,
  bf16,
  q8_0,
  q6k: q6_K,
  q5k: q5_K,
  q5_0,
  q4k: q4_K,
  q4_0,
  iq4_xs,
  iq4_nl,
} as const satisfies Record<Exclude<QuantName, 'auto'>, TensorType>;

/** `auto` keeps the checkpoint's types where the device computes well with them. */
export type WeightType = QuantName;

export const isQuantised = ({ blockSize }: TensorType): boolean => blockSize > 1;

/** For rows of a multiple of 32 that is none of 256. */
const smallBlocks: ReadonlyMap<TensorType, TensorType> = new Map<TensorType, TensorType>([
  [q6_K, q8_0],
  [q5_K, q5_1],
  [q4_K, q5_0],
  [iq4_xs, iq4_nl],
]);

/** `type`, or the one nearest to it that rows of this length can be made of. */
export const fittingType = (type: TensorType, rowLength: number): TensorType => {
  if (rowLength % type.blockSize === 0) return type;
  const smaller = smallBlocks.get(type);
  return smaller !== undefined && rowLength % smaller.blockSize === 0 ? smaller : f16;
};

/** `type`, or the nearest finer one that `fits`; f16, of blocks of one, where none does. */
export const finerType = (type: TensorType, fits: (type: TensorType) => boolean): TensorType =>
  [type, smallBlocks.get(type)].find((one) => one !== undefined && fits(one)) ?? f16;

export interface WeightFacts {
  readonly role: WeightRole;
  readonly rowLength: number;
  /** The checkpoint's type. */
  readonly source: TensorType;
  /** The device computes in the host's memory. */
  readonly isHost: boolean;
}

const quantisedType = (wanted: TensorType, { role, rowLength }: WeightFacts): TensorType => {
  switch (role) {
    case 'exact':
      return f32;
    case 'linear':
      return fittingType(wanted, rowLength);
    case 'gate':
      return fittingType(q8_0, rowLength);
    // Their error is in every token: llama.cpp, too, gives them six bits when the rest has four.
    case 'embedding':
    case 'head':
      return fittingType(wanted === q8_0 ? q8_0 : q6_K, rowLength);
    case 'tower':
      return f16;
  }
};

/** The type a weight is loaded as. */
export const weightTypeOf = (wanted: WeightType, facts: WeightFacts): TensorType => {
  const { role, source, isHost } = facts;
  if (role === 'exact') return f32;
  // bf16 products on a CPU round activations to 8 bits of mantissa; f16 holds the same weights and keeps 11.
  if (wanted === 'auto') return source === bf16 && isHost ? f16 : source;
  const type = quantTypes[wanted];
  return isQuantised(type) ? quantisedType(type, facts) : type;
};

/** Bytes a weight of this many elements takes on average, for a guess before the tensors are known. */
export const bitsPerWeight = (type: keyof typeof quantTypes): number => {
  const { blockBytes, blockSize } = quantTypes[type];
  return (blockBytes * 8) / blockSize;
};
