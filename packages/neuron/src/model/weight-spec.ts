/**
 * What a model needs from a checkpoint: each weight's name (GGUF's), its shape in ggml's order, and where its rows come
 * from. Architectures declare these tables; the loader follows them.
 */

export interface CheckpointPart {
  /** Name in the Hugging Face checkpoint. */
  readonly name: string;
  /** Row-major, as the checkpoint has it. */
  readonly shape: readonly number[];
}

/** Makes a row of a weight from a row of the checkpoint, in f32. */
export type MapRow = (source: Float32Array, target: Float32Array) => void;

export interface WeightSpec {
  /** GGUF's name, such as `blk.3.attn_q.weight`. */
  readonly name: string;
  /** ggml's order: row length first. */
  readonly ne: readonly number[];
  /** `matrix` is stored in the chosen weight type; `exact` stays f32: norms, gates, tables. */
  readonly precision: 'matrix' | 'exact';
  /** Their rows, one tensor after the other, are the source rows. */
  readonly parts: readonly CheckpointPart[];
  /** Source row of each row of the weight; the same row by default. */
  readonly rowOrder?: Int32Array;
  /** Makes a row of the weight from a source row, in f32; a copy by default. */
  readonly mapRow?: MapRow;
  /** Length of a source row where it is not the weight's. */
  readonly sourceRow?: number;
}

/** Names that the checkpoint has, for choices that depend on it. */
export interface TensorNames {
  has(name: string): boolean;
}

const product = (dims: readonly number[]): number => dims.reduce((n, dim) => n * dim, 1);

/** Rows of the weight and the length of a source row; the declaration's own consistency is checked here. */
export const rowsOf = (
  spec: WeightSpec,
): { readonly nRows: number; readonly rowLength: number; readonly sourceRow: number } => {
  const rowLength = spec.ne[0] ?? 1;
  const nRows = product(spec.ne.slice(1));
  const sourceRow = spec.sourceRow ?? rowLength;
  const available = spec.parts.reduce((n, part) => n + product(part.shape), 0);
  // A row order may choose among more rows than the weight has.
  const fits = spec.rowOrder === undefined ? available === nRows * sourceRow : available % sourceRow === 0;
  if (!fits) throw new Error(`weight ${spec.name}: its parts hold ${available} values, ${nRows * sourceRow} needed`);
  return { nRows, rowLength, sourceRow };
};

/** One checkpoint matrix [out, in] as it is. */
export const matrix = (name: string, source: string, nIn: number, nOut: number): WeightSpec => ({
  name,
  ne: [nIn, nOut],
  precision: 'matrix',
  parts: [{ name: source, shape: [nOut, nIn] }],
});

/** One checkpoint vector, in f32. */
export const vector = (name: string, source: string, n: number): WeightSpec => ({
  name,
  ne: [n],
  precision: 'exact',
  parts: [{ name: source, shape: [n] }],
});

/** A norm whose checkpoint weight is its distance from one. */
export const onePlusVector = (name: string, source: string, n: number): WeightSpec => ({
  ...vector(name, source, n),
  mapRow: (from, to) => from.forEach((value, i) => (to[i] = 1 + value)),
});
