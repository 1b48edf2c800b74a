/**
 * Tensor element types and the enum values of ggml that cross the C boundary. They belong to the one pinned
 * version (`library.ts` checks it at start); a block is the smallest unit a row may be made of.
 */

export interface TensorType {
  readonly name: string;
  /** `enum ggml_type`. */
  readonly id: number;
  /** Elements per block. */
  readonly blockSize: number;
  /** Bytes per block. */
  readonly blockBytes: number;
}

const type = (name: string, id: number, blockSize: number, blockBytes: number): TensorType => ({
  name,
  id,
  blockSize,
  blockBytes,
});

export const tensorTypes = {
  f32: type('f32', 0, 1, 4),
  f16: type('f16', 1, 1, 2),
  q4_0: type('q4_0', 2, 32, 18),
  q4_1: type('q4_1', 3, 32, 20),
  q5_0: type('q5_0', 6, 32, 22),
  q5_1: type('q5_1', 7, 32, 24),
  q8_0: type('q8_0', 8, 32, 34),
  q2_K: type('q2_K', 10, 256, 84),
  q3_K: type('q3_K', 11, 256, 110),
  q4_K: type('q4_K', 12, 256, 144),
  q5_K: type('q5_K', 13, 256, 176),
  q6_K: type('q6_K', 14, 256, 210),
  iq2_xxs: type('iq2_xxs', 16, 256, 66),
  iq2_xs: type('iq2_xs', 17, 256, 74),
  iq3_xxs: type('iq3_xxs', 18, 256, 98),
  iq1_s: type('iq1_s', 19, 256, 50),
  iq4_nl: type('iq4_nl', 20, 32, 18),
  iq3_s: type('iq3_s', 21, 256, 110),
  iq2_s: type('iq2_s', 22, 256, 82),
  iq4_xs: type('iq4_xs', 23, 256, 136),
  i32: type('i32', 26, 1, 4),
  i64: type('i64', 27, 1, 8),
  iq1_m: type('iq1_m', 29, 256, 56),
  bf16: type('bf16', 30, 1, 2),
  tq1_0: type('tq1_0', 34, 256, 54),
  tq2_0: type('tq2_0', 35, 256, 66),
  mxfp4: type('mxfp4', 39, 32, 17),
  nvfp4: type('nvfp4', 40, 64, 36),
} as const satisfies Record<string, TensorType>;

export type TensorTypeName = keyof typeof tensorTypes;

/** Bytes of `n` elements of a row. @throws RangeError when `n` is no whole number of blocks. */
export const rowBytes = (t: TensorType, n: number): number => {
  if (n % t.blockSize !== 0)
    throw new RangeError(`a row of ${n} is not a multiple of ${t.name}'s block of ${t.blockSize}`);
  return (n / t.blockSize) * t.blockBytes;
};

/** Modes of `ggml_rope_multi` / `ggml_rope_ext`. */
export const ropeModes = { neox: 2, vision: 24, interleavedMrope: 40 } as const;
export type RopeMode = keyof typeof ropeModes;

export const bufferUsages = { any: 0, weights: 1, compute: 2 } as const;
export type BufferUsage = keyof typeof bufferUsages;

export const deviceTypes = ['cpu', 'gpu', 'igpu', 'accel', 'meta'] as const;
export type DeviceType = (typeof deviceTypes)[number];
