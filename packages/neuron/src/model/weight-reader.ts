/**
 * A checkpoint's tensors as a model's weights: rows gathered, mapped and converted a piece at a time, so that the host
 * never holds much more than the piece. The CPU's threads convert; gathering is the caller's thread's.
 */
import { CortexError } from '@cortex/core';
import { rowBytes, RowConverter, tensorTypes, type Backend, type TensorType } from '@cortex/ggml';
import type { Checkpoint, CheckpointTensor } from './checkpoint.ts';
import { formIn, sourceTypeOf } from './weight-plan.ts';
import { rowsOf, type WeightForm, type WeightSpec } from './weight-spec.ts';
import { isQuantised } from './weight-types.ts';

/** Values converted at a time. */
const pieceLength = 4 * 2 ** 20;

interface Part {
  readonly tensor: CheckpointTensor;
  readonly firstRow: number;
  readonly nRows: number;
}

/** Bytes of a weight and where they belong; valid until the next piece. */
export interface WeightPiece {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

interface Source {
  readonly spec: WeightSpec;
  readonly form: WeightForm;
  readonly parts: readonly Part[];
  readonly type: TensorType;
  readonly rowLength: number;
}

const partsOf = (checkpoint: Checkpoint, { parts, isSum }: WeightForm, sourceRow: number): Part[] => {
  let firstRow = 0;
  return parts.map(({ name, shape }) => {
    const nRows = shape.reduce((n, dim) => n * dim, 1) / sourceRow;
    const part = { tensor: checkpoint.tensor(name), firstRow, nRows };
    if (isSum !== true) firstRow += nRows;
    return part;
  });
};

const viewF32 = (bytes: Uint8Array): Float32Array =>
  new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / Float32Array.BYTES_PER_ELEMENT);

const viewBytes = (values: Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Exponent bits of an f16 that is infinite or not a number. */
const f16Exponent = 0x7c00;

export class WeightReader implements Disposable {
  readonly #checkpoint: Checkpoint;
  /** Apart: of types with blocks some go to others by way of f32. */
  readonly #toF32: RowConverter;
  readonly #fromSource: RowConverter;
  #raw = new Uint8Array(0);

  /** @param cpu converts with the threads that it was given. */
  constructor(checkpoint: Checkpoint, cpu: Backend) {
    this.#checkpoint = checkpoint;
    this.#toF32 = new RowConverter(cpu);
    this.#fromSource = new RowConverter(cpu);
  }

  /** The weight's rows in `type`, a piece after the other. */
  *pieces(spec: WeightSpec, form: WeightForm, type: TensorType): Generator<WeightPiece> {
    const { nRows, rowLength, sourceRow } = rowsOf(spec, form);
    const source: Source = {
      spec,
      form,
      parts: partsOf(this.#checkpoint, form, sourceRow),
      type: sourceTypeOf(this.#checkpoint, form),
      rowLength: sourceRow,
    };
    const nRowsPiece = Math.max(1, Math.floor(pieceLength / Math.max(rowLength, sourceRow)));
    for (let row = 0; row < nRows; row += nRowsPiece) {
      const n = Math.min(nRowsPiece, nRows - row);
      yield { bytes: this.#rows(source, type, row, n), offset: row * rowBytes(type, rowLength) };
    }
  }

  /** The whole weight in f32, on the host. */
  readF32(spec: WeightSpec): Float32Array {
    const { nRows, rowLength } = rowsOf(spec);
    const all = new Uint8Array(nRows * rowLength * Float32Array.BYTES_PER_ELEMENT);
    for (const { bytes, offset } of this.pieces(spec, formIn(this.#checkpoint, spec), tensorTypes.f32)) {
      all.set(bytes, offset);
    }
    return viewF32(all);
  }

  #rows(source: Source, type: TensorType, row: number, n: number): Uint8Array {
    const { spec, form } = source;
    if (form.mapRow === undefined && form.isSum !== true) {
      const raw = this.#gather(source, source.parts, row, n);
      return this.#converted(spec, raw, { from: source.type, to: type, rowLength: source.rowLength, nRows: n });
    }
    const mapped = this.#mapped(source, row, n);
    const rowLength = mapped.length / n;
    return this.#converted(spec, viewBytes(mapped), { from: tensorTypes.f32, to: type, rowLength, nRows: n });
  }

  /** In f32, the form's sum and mapping done. */
  #mapped(source: Source, row: number, n: number): Float32Array {
    const { spec, form, parts, rowLength } = source;
    const each = form.isSum === true ? parts.map((part) => [part]) : [parts];
    const sum = new Float32Array(n * rowLength);
    for (const of of each) {
      const values = viewF32(this.#asF32(source.type, this.#gather(source, of, row, n), rowLength, n));
      for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] ?? 0) + (values[i] ?? 0);
    }
    const { mapRow } = form;
    if (mapRow === undefined) return sum;
    const length = spec.ne[0] ?? 1;
    const mapped = new Float32Array(n * length);
    for (let i = 0; i < n; i++) {
      mapRow(sum.subarray(i * rowLength, (i + 1) * rowLength), mapped.subarray(i * length, (i + 1) * length));
    }
    return mapped;
  }

  #asF32(from: TensorType, bytes: Uint8Array, rowLength: number, nRows: number): Uint8Array {
    return from === tensorTypes.f32
      ? bytes
      : this.#toF32.convert({ from, to: tensorTypes.f32, rowLength, nRows }, bytes);
  }

  #converted(
    spec: WeightSpec,
    bytes: Uint8Array,
    form: {
      readonly from: TensorType;
      readonly to: TensorType;
      readonly rowLength: number;
      readonly nRows: number;
    },
  ): Uint8Array {
    const { from, to, rowLength, nRows } = form;
    if (from === to) return bytes;
    if (to === tensorTypes.f32) return this.#asF32(from, bytes, rowLength, nRows);
    const result = isQuantised(from)
      ? this.#fromSource.convert({ ...form, from: tensorTypes.f32 }, this.#asF32(from, bytes, rowLength, nRows))
      : this.#fromSource.convert(form, bytes);
    if (to === tensorTypes.f16) checkF16(spec, result);
    return result;
  }

  /** Rows row .. row + n of the source, in the weight's order, as they are stored. */
  #gather({ spec, form, type, rowLength }: Source, parts: readonly Part[], row: number, n: number): Uint8Array {
    const bytesPerRow = rowBytes(type, rowLength);
    const target = this.#scratch(n * bytesPerRow);
    const order = form.rowOrder;
    let i = 0;
    while (i < n) {
      const first = order === undefined ? row + i : (order[row + i] ?? 0);
      const part = parts.find((p) => first >= p.firstRow && first < p.firstRow + p.nRows);
      if (part === undefined) throw new Error(`weight ${spec.name}: no source row ${first}`);
      // As many rows as follow one another in the source are read together.
      let run = 1;
      const runMax = Math.min(n - i, part.firstRow + part.nRows - first);
      while (run < runMax && (order === undefined || order[row + i + run] === first + run)) run += 1;
      const rows = { first: first - part.firstRow, n: run, length: rowLength };
      this.#readRows(part, rows, type, target.subarray(i * bytesPerRow, (i + run) * bytesPerRow));
      i += run;
    }
    return target;
  }

  #readRows(
    { tensor }: Part,
    rows: { readonly first: number; readonly n: number; readonly length: number },
    type: TensorType,
    target: Uint8Array,
  ): void {
    const bytesPerRow = rowBytes(tensor.type, rows.length);
    if (tensor.type === type) {
      this.#checkpoint.read(tensor, rows.first * bytesPerRow, target);
      return;
    }
    const raw = new Uint8Array(rows.n * bytesPerRow);
    this.#checkpoint.read(tensor, rows.first * bytesPerRow, raw);
    target.set(this.#asF32(tensor.type, raw, rows.length, rows.n));
  }

  #scratch(nBytes: number): Uint8Array {
    if (this.#raw.length < nBytes) this.#raw = new Uint8Array(nBytes);
    return this.#raw.subarray(0, nBytes);
  }

  [Symbol.dispose](): void {
    this.#toF32[Symbol.dispose]();
    this.#fromSource[Symbol.dispose]();
  }
}

/** @throws CortexError `model_load_failed` when a value has become infinite. */
const checkF16 = ({ name }: WeightSpec, bytes: Uint8Array): void => {
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  // Hundreds of millions of values pass here: an index and no iterator.
  for (let i = 0; i < halves.length; i++) {
    if (((halves[i] ?? 0) & f16Exponent) === f16Exponent) {
      throw new CortexError(
        'model_load_failed',
        `weight ${name} holds values beyond what f16 can: load it with quant "f32" or "bf16"`,
      );
    }
  }
};
