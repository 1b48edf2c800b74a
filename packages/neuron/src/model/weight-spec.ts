/**
 * What a model needs from a checkpoint: each weight's name (GGUF's), its shape in ggml's order, what it is used for, and
 * where its rows come from. Architectures declare these tables; the loader follows them.
 */

export interface CheckpointPart {
  /** The tensor's name in the checkpoint. */
  readonly name: string;
  /** Row-major, the slowest axis first, whatever the format; axes of one do not count. */
  readonly shape: readonly number[];
}

/** Makes a row of a weight from a row of the checkpoint, in f32. */
export type MapRow = (source: Float32Array, target: Float32Array) => void;

/** Where a weight's rows come from in one format of checkpoint. */
export interface WeightForm {
  /** Their rows, one tensor after the other, are the source rows. */
  readonly parts: readonly CheckpointPart[];
  /** The parts are added to each other instead. */
  readonly isSum?: true;
  /** Source row of each row of the weight; the same row by default. */
  readonly rowOrder?: Int32Array;
  /** Makes a row of the weight from a source row, in f32; a copy by default. */
  readonly mapRow?: MapRow;
  /** Length of a source row where it is not the weight's. */
  readonly sourceRow?: number;
}

/** What the graphs do with a weight: it decides the types and the buffers that the weight may be in. */
export type WeightRole =
  /** f32 always: norms, biases, routers, decay, convolutions. */
  | 'exact'
  /** First operand of products only. */
  | 'linear'
  /** A product of few rows whose error is carried from token to token: eight bits at least. */
  | 'gate'
  /** Rows are taken from it by token id. */
  | 'embedding'
  /** The product that gives the logits. */
  | 'head'
  /** A product of the vision tower. */
  | 'tower';

/** What the devices of a group share out among each other: each gets whole ones, one at least. */
export interface SplitUnit {
  /** For messages, such as `key/value heads`. */
  readonly name: string;
  readonly count: number;
}

/** Along an axis lie `repeat` runs of all units, one behind the other; each device gets its units of every run. */
export interface Split {
  /** 0: along the rows, 1: whole rows. */
  readonly axis: 0 | 1;
  readonly unit: SplitUnit;
  readonly repeat: number;
}

/** Each device has some rows: a product gives it some elements of every column. */
export const byRows = (unit: SplitUnit, repeat = 1): Split => ({ axis: 1, unit, repeat });

/** Each device has a part of every row: a product of elements split alike gives parts of a sum. */
export const alongRows = (unit: SplitUnit, repeat = 1): Split => ({ axis: 0, unit, repeat });

/** Beside the names of both formats: the Hugging Face form is the weight's own, GGUF's is `gguf`. */
export interface WeightSpec extends WeightForm {
  /** GGUF's name, such as `blk.3.attn_q.weight`. */
  readonly name: string;
  /** ggml's order: row length first. */
  readonly ne: readonly number[];
  readonly role: WeightRole;
  /**
   * Other forms in GGUF files than the usual, one tensor of this very name and shape with every transformation done;
   * the first whose tensors are all there is read.
   */
  readonly gguf?: readonly WeightForm[];
  /** A weight with the same values that stands in for this one unless a copy is faster. */
  readonly tiedTo?: string;
  /** How a group of devices shares it; without, every device has all of it. */
  readonly split?: Split;
}

/** Number of the layer that has the weight; null for embedding, head and final norm, and for those of a tower. */
export const layerOf = ({ name }: Pick<WeightSpec, 'name'>): number | null => {
  const number = /^blk\.(\d+)\./.exec(name)?.[1];
  return number === undefined ? null : Number(number);
};

/** Names that the checkpoint has, for choices that depend on it: those of its own format. */
export interface TensorNames {
  has(name: string): boolean;
}

const product = (dims: readonly number[]): number => dims.reduce((n, dim) => n * dim, 1);

/** Rows of the weight and the length of a source row; the declaration's own consistency is checked here. */
export const rowsOf = (
  spec: WeightSpec,
  form: WeightForm = spec,
): { readonly nRows: number; readonly rowLength: number; readonly sourceRow: number } => {
  // A vector of several parts is read as rows of one value each.
  const isCut = spec.ne.length === 1 && form.parts.length > 1 && form.isSum !== true;
  const rowLength = isCut ? 1 : (spec.ne[0] ?? 1);
  const nRows = product(isCut ? spec.ne : spec.ne.slice(1));
  const sourceRow = form.sourceRow ?? rowLength;
  const all = form.parts.reduce((n, part) => n + product(part.shape), 0);
  const available = form.isSum === true ? all / form.parts.length : all;
  // A row order may choose among more rows than the weight has.
  const fits = form.rowOrder === undefined ? available === nRows * sourceRow : available % sourceRow === 0;
  if (!fits) throw new Error(`weight ${spec.name}: its parts hold ${available} values, ${nRows * sourceRow} needed`);
  return { nRows, rowLength, sourceRow };
};

/** One checkpoint matrix [out, in] as it is. */
export const matrix = (name: string, source: string, nIn: number, nOut: number, split?: Split): WeightSpec => ({
  name,
  ne: [nIn, nOut],
  role: 'linear',
  parts: [{ name: source, shape: [nOut, nIn] }],
  ...(split !== undefined && { split }),
});

/** Matrices of one input whose rows GGUF files may have in a single tensor, one matrix behind the other. */
export const fusedInGguf = (fused: string, matrices: readonly WeightSpec[]): WeightSpec[] => {
  const rowsIn = ({ ne: [, nRows = 0] }: WeightSpec): number => nRows;
  const nAll = matrices.reduce((n, spec) => n + rowsIn(spec), 0);
  let nBefore = 0;
  return matrices.map((spec) => {
    const first = nBefore;
    nBefore += rowsIn(spec);
    const form: WeightForm = {
      parts: [{ name: fused, shape: [nAll, spec.ne[0] ?? 0] }],
      rowOrder: Int32Array.from({ length: rowsIn(spec) }, (_, row) => first + row),
    };
    return { ...spec, gguf: [form] };
  });
};

/** One checkpoint vector, in f32. */
export const vector = (name: string, source: string, n: number): WeightSpec => ({
  name,
  ne: [n],
  role: 'exact',
  parts: [{ name: source, shape: [n] }],
});

/** A norm whose checkpoint weight is its distance from one. */
export const onePlusVector = (name: string, source: string, n: number): WeightSpec => ({
  ...vector(name, source, n),
  mapRow: (from, to) => from.forEach((value, i) => (to[i] = 1 + value)),
});

/** Embedding and head; a head without values of its own is tied to the embedding. `prefix` is the language model's. */
export const outerMatrices = (
  prefix: string,
  { hiddenSize, nVocab, tied }: { readonly hiddenSize: number; readonly nVocab: number; readonly tied: boolean },
): WeightSpec[] => {
  const embedding = matrix('token_embd.weight', `${prefix}embed_tokens.weight`, hiddenSize, nVocab);
  const { ne, parts } = embedding;
  const split = byRows({ name: 'rows of the vocabulary', count: nVocab });
  const head: WeightSpec = tied
    ? {
        name: 'output.weight',
        ne,
        parts,
        gguf: [{ parts: [{ ...partOf(embedding) }] }],
        role: 'head',
        tiedTo: embedding.name,
        split,
      }
    : { ...matrix('output.weight', 'lm_head.weight', hiddenSize, nVocab, split), role: 'head' };
  return [{ ...embedding, role: 'embedding' }, head];
};

/** The one tensor of a GGUF file that is this weight. */
export const partOf = ({ name, ne }: WeightSpec): CheckpointPart => ({ name, shape: ne.toReversed() });
