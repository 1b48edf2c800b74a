/**
 * The header of a GGUF file: its keys and its tensors' names, types, shapes and places. Nothing in it is believed: every
 * length is held against the file's before it is followed. Follows `docs/gguf.md` of ggml-org/ggml, versions 2 and 3.
 */
import { CortexError } from '@cortex/core';
import { ggufListMax, GgufMetadata, ggufTypes, type GgufEntry } from './gguf-metadata.ts';

export interface GgufTensorInfo {
  readonly name: string;
  /** ggml's order: the fastest axis first. */
  readonly ne: readonly number[];
  /** `enum ggml_type`. */
  readonly typeId: number;
  /** In bytes from the start of the file. */
  readonly offset: number;
}

export interface GgufHeader {
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensorInfo[];
}

/** The bytes so far are not enough; the file has more. */
export interface MoreNeeded {
  readonly kind: 'more_needed';
  readonly nBytes: number;
}

const magic = 0x46554747;
const keysMax = 65_536;
const tensorsMax = 262_144;
const nameBytesMax = 65_535;
const axesMax = 4;
const defaultAlignment = 32;
const alignmentMax = 65_536;
const elementsMax = 2 ** 50;

const elementBytes: ReadonlyMap<number, number> = new Map([
  [ggufTypes.u8, 1],
  [ggufTypes.i8, 1],
  [ggufTypes.u16, 2],
  [ggufTypes.i16, 2],
  [ggufTypes.u32, 4],
  [ggufTypes.i32, 4],
  [ggufTypes.f32, 4],
  [ggufTypes.bool, 1],
  [ggufTypes.u64, 8],
  [ggufTypes.i64, 8],
  [ggufTypes.f64, 8],
]);

/** Work that is done bit by bit, each about a millisecond long. */
export type Steps<T> = Generator<undefined, T>;

const textsPerStep = 8192;

/** Thrown within this module only. */
class EndOfBytes extends Error {
  readonly nBytes: number;

  constructor(nBytes: number) {
    super();
    this.nBytes = nBytes;
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true });

class Cursor {
  readonly file: string;
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #nFileBytes: number;
  at = 0;

  constructor(file: string, bytes: Uint8Array, nFileBytes: number) {
    this.file = file;
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#nFileBytes = nFileBytes;
  }

  refuse(message: string): never {
    throw new CortexError('model_load_failed', `${this.file}: ${message}`);
  }

  /** The place of the next `nBytes`, which are there. */
  take(nBytes: number): number {
    const start = this.at;
    const end = start + nBytes;
    if (!(end <= this.#nFileBytes)) this.refuse(`ends at byte ${this.#nFileBytes}, within its header`);
    if (end > this.bytes.length) throw new EndOfBytes(end);
    this.at = end;
    return start;
  }

  u32(): number {
    return this.#view.getUint32(this.take(4), true);
  }

  /** A length or a count. */
  u64(what: string): number {
    const start = this.take(8);
    const high = this.#view.getUint32(start + 4, true);
    if (high > 0x1f_ffff) this.refuse(`${what} is larger than any file`);
    return high * 2 ** 32 + this.#view.getUint32(start, true);
  }

  string(what: string, nBytesMax: number): string {
    const length = this.u64(what);
    if (length > nBytesMax) this.refuse(`${what} is ${length} bytes long`);
    const start = this.take(length);
    try {
      return decoder.decode(this.bytes.subarray(start, this.at));
    } catch {
      return this.refuse(`${what} is not UTF-8`);
    }
  }

  scalar(type: number): number {
    return this.scalarAt(type, this.take(elementBytes.get(type) ?? 0));
  }

  /** At a place that was taken. */
  scalarAt(type: number, start: number): number {
    const view = this.#view;
    switch (type) {
      case ggufTypes.u8:
      case ggufTypes.bool:
        return view.getUint8(start);
      case ggufTypes.i8:
        return view.getInt8(start);
      case ggufTypes.u16:
        return view.getUint16(start, true);
      case ggufTypes.i16:
        return view.getInt16(start, true);
      case ggufTypes.u32:
        return view.getUint32(start, true);
      case ggufTypes.i32:
        return view.getInt32(start, true);
      case ggufTypes.f32:
        return view.getFloat32(start, true);
      case ggufTypes.u64:
        return Number(view.getBigUint64(start, true));
      case ggufTypes.i64:
        return Number(view.getBigInt64(start, true));
      case ggufTypes.f64:
        return view.getFloat64(start, true);
      default:
        return this.refuse(`there is no value type ${type}`);
    }
  }

  /** Where each of `n` strings begins and ends: a vocabulary has hundreds of thousands. */
  *spans(n: number): Steps<Uint32Array> {
    // Each has its length before it.
    const end = this.at + n * 8;
    if (end > this.#nFileBytes) this.refuse(`a list of ${n} texts does not fit in the file`);
    if (n > ggufListMax) this.refuse(`a list of ${n} texts is longer than the ${ggufListMax} read`);
    if (end > this.bytes.length) throw new EndOfBytes(end);
    const spans = new Uint32Array(2 * n);
    for (let i = 0; i < n; i++) {
      const length = this.u64('a text');
      const start = this.take(length);
      spans[2 * i] = start;
      spans[2 * i + 1] = start + length;
      if (i % textsPerStep === textsPerStep - 1) yield;
    }
    return spans;
  }
}

function* readArray(cursor: Cursor, key: string): Steps<GgufEntry> {
  const type = cursor.u32();
  const n = cursor.u64(`the length of ${key}`);
  if (type === ggufTypes.string) return { kind: 'texts', spans: yield* cursor.spans(n) };
  const size = elementBytes.get(type);
  if (size === undefined) return cursor.refuse(`${key} is a list of type ${type}`);
  const start = cursor.take(n * size);
  // A vocabulary has hundreds of thousands of them too.
  return {
    kind: 'numbers',
    n,
    read: () => Array.from({ length: n }, (_, i) => cursor.scalarAt(type, start + i * size)),
  };
}

const textBytesMax = 16 * 2 ** 20;

function* readValue(cursor: Cursor, key: string): Steps<GgufEntry> {
  const type = cursor.u32();
  if (type === ggufTypes.string) return { kind: 'text', value: cursor.string(key, textBytesMax) };
  if (type === ggufTypes.array) return yield* readArray(cursor, key);
  if (!elementBytes.has(type)) return cursor.refuse(`${key} is of type ${type}, which there is not`);
  const value = cursor.scalar(type);
  return type === ggufTypes.bool ? { kind: 'flag', value: value !== 0 } : { kind: 'number', value };
}

function* readMetadata(cursor: Cursor, nKeys: number): Steps<GgufMetadata> {
  const entries = new Map<string, GgufEntry>();
  for (let i = 0; i < nKeys; i++) {
    const key = cursor.string(`the name of key ${i}`, nameBytesMax);
    if (entries.has(key)) cursor.refuse(`the key ${JSON.stringify(key.slice(0, 64))} is there twice`);
    entries.set(key, yield* readValue(cursor, key.slice(0, 64)));
  }
  return new GgufMetadata(cursor.file, cursor.bytes, entries);
}

const readTensorInfo = (cursor: Cursor, i: number): GgufTensorInfo => {
  const name = cursor.string(`the name of tensor ${i}`, nameBytesMax);
  const shown = JSON.stringify(name.slice(0, 64));
  const nAxes = cursor.u32();
  if (nAxes < 1 || nAxes > axesMax) cursor.refuse(`tensor ${shown} has ${nAxes} axes`);
  const ne = Array.from({ length: nAxes }, () => cursor.u64(`an axis of tensor ${shown}`));
  if (ne.some((n) => n < 1) || ne.reduce((product, n) => product * n, 1) > elementsMax) {
    cursor.refuse(`tensor ${shown} of shape [${ne.join(', ')}] cannot be`);
  }
  return { name, ne, typeId: cursor.u32(), offset: cursor.u64(`the place of tensor ${shown}`) };
};

const alignmentOf = (cursor: Cursor, metadata: GgufMetadata): number => {
  const alignment = metadata.number('general.alignment') ?? defaultAlignment;
  const isPowerOfTwo = Number.isInteger(Math.log2(alignment));
  if (!isPowerOfTwo || alignment < 1 || alignment > alignmentMax) cursor.refuse(`general.alignment is ${alignment}`);
  return alignment;
};

function* parse(cursor: Cursor): Steps<GgufHeader> {
  if (cursor.u32() !== magic) cursor.refuse('is not a GGUF file');
  const version = cursor.u32();
  if (version !== 2 && version !== 3) cursor.refuse(`is of GGUF version ${version}; 2 and 3 are read`);
  const nTensors = cursor.u64('the number of tensors');
  const nKeys = cursor.u64('the number of keys');
  if (nTensors > tensorsMax) cursor.refuse(`has ${nTensors} tensors, more than the ${tensorsMax} read`);
  if (nKeys > keysMax) cursor.refuse(`has ${nKeys} keys, more than the ${keysMax} read`);
  const metadata = yield* readMetadata(cursor, nKeys);
  const alignment = alignmentOf(cursor, metadata);
  const infos = Array.from({ length: nTensors }, (_, i) => readTensorInfo(cursor, i));
  const names = new Set(infos.map(({ name }) => name));
  if (names.size !== infos.length) cursor.refuse('two tensors have the same name');
  const dataStart = Math.ceil(cursor.at / alignment) * alignment;
  const tensors = infos.map((info) => {
    if (info.offset % alignment !== 0) {
      cursor.refuse(
        `tensor ${JSON.stringify(info.name.slice(0, 64))} at ${info.offset} is not aligned to ${alignment}`,
      );
    }
    return { ...info, offset: dataStart + info.offset };
  });
  return { metadata, tensors };
}

/**
 * In steps, between which others may have the thread.
 * @param bytes The beginning of a file of `nFileBytes`, which `file` names in messages. They are kept.
 * @throws CortexError `model_load_failed` naming the key or tensor at fault.
 */
export function* ggufHeaderSteps(bytes: Uint8Array, nFileBytes: number, file: string): Steps<GgufHeader | MoreNeeded> {
  try {
    return yield* parse(new Cursor(file, bytes, nFileBytes));
  } catch (error) {
    if (error instanceof EndOfBytes) return { kind: 'more_needed', nBytes: error.nBytes };
    throw error;
  }
}
