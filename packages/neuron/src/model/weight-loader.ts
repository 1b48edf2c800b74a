/**
 * From a checkpoint's tensors to a model's weights on a device: rows gathered, mapped and converted a piece at a time,
 * so that the host never holds much more than one tensor.
 */
import { CortexError } from '@cortex/core';
import { fromF32, rowBytes, tensorTypes, toF32, type Native, type TensorType } from '@cortex/ggml';
import type { Checkpoint, CheckpointTensor } from './checkpoint.ts';
import { rowsOf, type WeightSpec } from './weight-spec.ts';

/** f32 values converted at a time. */
const pieceLength = 4 * 2 ** 20;
/** Largest f16 number; a weight beyond it would become infinite. */
const f16Max = 65_504;

const typeOf = { F32: tensorTypes.f32, F16: tensorTypes.f16, BF16: tensorTypes.bf16 } as const;

interface Part {
  readonly tensor: CheckpointTensor;
  readonly firstRow: number;
  readonly nRows: number;
}

const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

/** @throws CortexError `model_load_failed` when a tensor is missing or has another shape. */
const partsOf = (checkpoint: Checkpoint, spec: WeightSpec, sourceRow: number): Part[] => {
  let firstRow = 0;
  return spec.parts.map(({ name, shape }) => {
    const tensor = checkpoint.tensor(name);
    if (!sameShape(tensor.shape, shape)) {
      throw new CortexError(
        'model_load_failed',
        `tensor ${name} is [${tensor.shape.join(', ')}], config.json makes it [${shape.join(', ')}]`,
      );
    }
    const nRows = shape.reduce((n, dim) => n * dim, 1) / sourceRow;
    const part = { tensor, firstRow, nRows };
    firstRow += nRows;
    return part;
  });
};

/** Checks every name and shape before anything is allocated. */
export const checkWeights = (checkpoint: Checkpoint, specs: readonly WeightSpec[]): void => {
  for (const spec of specs) partsOf(checkpoint, spec, rowsOf(spec).sourceRow);
};

/** Source type of a weight; of several parts the first one's. */
export const sourceType = (checkpoint: Checkpoint, spec: WeightSpec): TensorType => {
  const [first] = spec.parts;
  return first === undefined ? tensorTypes.f32 : typeOf[checkpoint.tensor(first.name).dtype];
};

/** Reads weights of one checkpoint, reusing its buffers. */
export class WeightReader {
  readonly #native: Native;
  readonly #checkpoint: Checkpoint;
  #raw = new Uint8Array(0);

  constructor(native: Native, checkpoint: Checkpoint) {
    this.#native = native;
    this.#checkpoint = checkpoint;
  }

  /** The weight's rows in `type`, a piece after the other: bytes and where they belong. */
  *pieces(spec: WeightSpec, type: TensorType): Generator<{ readonly bytes: Uint8Array; readonly offset: number }> {
    const { nRows, rowLength, sourceRow } = rowsOf(spec);
    const parts = partsOf(this.#checkpoint, spec, sourceRow);
    const nRowsPiece = Math.max(1, Math.floor(pieceLength / Math.max(rowLength, sourceRow)));
    const bytesPerRow = rowBytes(type, rowLength);
    const source = new Float32Array(Math.min(nRows, nRowsPiece) * sourceRow);
    const mapped = spec.mapRow === undefined ? source : new Float32Array(Math.min(nRows, nRowsPiece) * rowLength);
    const bytes = new Uint8Array(Math.min(nRows, nRowsPiece) * bytesPerRow);
    for (let row = 0; row < nRows; row += nRowsPiece) {
      const n = Math.min(nRowsPiece, nRows - row);
      this.#gather(spec, parts, { row, n, sourceRow }, source);
      if (spec.mapRow !== undefined) {
        for (let i = 0; i < n; i++) {
          spec.mapRow(
            source.subarray(i * sourceRow, (i + 1) * sourceRow),
            mapped.subarray(i * rowLength, (i + 1) * rowLength),
          );
        }
      }
      if (type === tensorTypes.f16) this.#checkRange(spec, mapped.subarray(0, n * rowLength));
      fromF32(this.#native, type, mapped, bytes, { nRows: n, nPerRow: rowLength });
      yield { bytes: bytes.subarray(0, n * bytesPerRow), offset: row * bytesPerRow };
    }
  }

  /** The whole weight in f32, on the host. */
  readF32(spec: WeightSpec): Float32Array {
    const { nRows, rowLength } = rowsOf(spec);
    const all = new Uint8Array(nRows * rowLength * 4);
    for (const { bytes, offset } of this.pieces(spec, tensorTypes.f32)) all.set(bytes, offset);
    return new Float32Array(all.buffer);
  }

  /** Fills `target` with source rows row .. row + n, in the weight's order. */
  #gather(
    spec: WeightSpec,
    parts: readonly Part[],
    { row, n, sourceRow }: { readonly row: number; readonly n: number; readonly sourceRow: number },
    target: Float32Array,
  ): void {
    const order = spec.rowOrder;
    let i = 0;
    while (i < n) {
      const first = order === undefined ? row + i : (order[row + i] ?? 0);
      const part = parts.find((p) => first >= p.firstRow && first < p.firstRow + p.nRows);
      if (part === undefined) throw new Error(`weight ${spec.name}: no source row ${first}`);
      // As many rows as follow one another in the source are read together.
      let run = 1;
      const runMax = Math.min(n - i, part.firstRow + part.nRows - first);
      while (run < runMax && (order === undefined || order[row + i + run] === first + run)) run += 1;
      this.#readRows(
        part,
        first - part.firstRow,
        run,
        sourceRow,
        target.subarray(i * sourceRow, (i + run) * sourceRow),
      );
      i += run;
    }
  }

  #readRows({ tensor }: Part, firstRow: number, nRows: number, rowLength: number, target: Float32Array): void {
    const type = typeOf[tensor.dtype];
    const n = nRows * rowLength;
    const nBytes = rowBytes(type, n);
    if (this.#raw.length < nBytes) this.#raw = new Uint8Array(nBytes);
    const raw = this.#raw.subarray(0, nBytes);
    this.#checkpoint.read(tensor, firstRow * rowBytes(type, rowLength), raw);
    toF32(this.#native, type, raw, target, n);
  }

  #checkRange(spec: WeightSpec, values: Float32Array): void {
    // Hundreds of millions of values pass here: an index and no iterator.
    for (let i = 0; i < values.length; i++) {
      const value = values[i] ?? 0;
      if (value > f16Max || value < -f16Max) {
        throw new CortexError(
          'model_load_failed',
          `weight ${spec.name} holds ${value}, beyond what f16 can: load it with quant "f32" or "bf16"`,
        );
      }
    }
  }
}
