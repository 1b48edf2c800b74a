/** For tests and benchmarks: how one tensor of a GGUF comes from the checkpoint's. */

/** A run of values of a checkpoint tensor; all of it when no range is given. */
export interface Piece {
  readonly name: string;
  readonly first?: number;
  readonly n?: number;
}

export interface TensorPlan {
  /** llama.cpp's name. */
  readonly name: string;
  /** ggml's order: row length first. */
  readonly ne: readonly number[];
  /** `matrix` may be quantised, `exact` stays f32. */
  readonly precision: 'matrix' | 'exact';
  /** One after the other. */
  readonly pieces: readonly Piece[];
  /** Over all values at once, so not for large tensors. */
  readonly map?: (values: Float32Array) => Float32Array;
}

export const matrixPlan = (name: string, source: string, nIn: number, nOut: number): TensorPlan => ({
  name,
  ne: [nIn, nOut],
  precision: 'matrix',
  pieces: [{ name: source }],
});

export const exactPlan = (name: string, source: string, ne: readonly number[]): TensorPlan => ({
  name,
  ne,
  precision: 'exact',
  pieces: [{ name: source }],
});
