/**
 * The header of a safetensors file: names, types, shapes and places of its tensors. Every entry that it returns lies
 * inside the file, overlaps no other and, where the type is one we read, is as long as type and shape say.
 * Follows the format's description in huggingface/safetensors.
 */
import { CortexError } from '@cortex/core';
import { z } from 'zod';

/** The types that the engine reads, with the bytes of one element. */
export const elementBytes = { F32: 4, F16: 2, BF16: 2 } as const;
export type CheckpointDtype = keyof typeof elementBytes;

export const isCheckpointDtype = (dtype: string): dtype is CheckpointDtype => Object.hasOwn(elementBytes, dtype);

export interface SafetensorsEntry {
  readonly name: string;
  /** As written: types that nothing asks for may be there, such as those of quantised or predicting layers. */
  readonly dtype: string;
  /** Row-major, the slowest axis first. */
  readonly shape: readonly number[];
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly nBytes: number;
}

/** Bytes of the length that a file begins with. */
export const lengthBytes = 8;
/** The format's own limit. */
const headerBytesMax = 100_000_000;
/** Of one file; the largest models in use have fewer in all their files. */
const tensorsMax = 262_144;
/** A patch embedding has five axes. */
const rankMax = 8;

const count = z.int().min(0);
const entrySchema = z.looseObject({
  dtype: z.string().min(1),
  shape: z.array(count).max(rankMax),
  data_offsets: z.tuple([count, count]),
});

/** A name from a file, short enough for a message. */
export const quoteName = (name: string): string => JSON.stringify(name.length > 120 ? `${name.slice(0, 120)}…` : name);

const refuse = (file: string, message: string, cause?: unknown): never => {
  throw new CortexError('model_load_failed', `${file}: ${message}`, { cause });
};

/**
 * Bytes of the header, from the first eight of a file of `nFileBytes`.
 * @throws CortexError `model_load_failed`: no room for a header, or one that cannot be in this file.
 */
export const headerLength = (start: Uint8Array, nFileBytes: number, file: string): number => {
  if (start.byteLength < lengthBytes || nFileBytes < lengthBytes)
    return refuse(file, `is ${nFileBytes} bytes, too short for a safetensors file`);
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (length > BigInt(headerBytesMax))
    return refuse(file, `its header of ${length} bytes is larger than the ${headerBytesMax} that the format allows`);
  if (length > BigInt(nFileBytes - lengthBytes))
    return refuse(file, `its header of ${length} bytes does not fit in the file of ${nFileBytes}; it may be truncated`);
  return Number(length);
};

const parseJson = (header: Uint8Array, file: string): object => {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(header));
  } catch (error) {
    return refuse(file, 'its header is not JSON', error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return refuse(file, 'its header is not a JSON object');
  return value;
};

/** Elements of a shape; an unsafe integer where there are absurdly many. */
const elementCount = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

const parseEntry = (name: string, value: unknown, dataStart: number, nFileBytes: number, file: string) => {
  const parsed = entrySchema.safeParse(value);
  if (!parsed.success) return refuse(file, `the header's entry of ${quoteName(name)} is malformed`, parsed.error);
  const { dtype, shape, data_offsets: offsets } = parsed.data;
  const [begin, end] = offsets;
  if (begin > end) return refuse(file, `tensor ${quoteName(name)} ends at byte ${end}, before its start at ${begin}`);
  const nDataBytes = nFileBytes - dataStart;
  if (end > nDataBytes) {
    const message = `tensor ${quoteName(name)} ends at byte ${end} of ${nDataBytes}; the file may be truncated`;
    return refuse(file, message);
  }
  const nBytes = end - begin;
  if (isCheckpointDtype(dtype) && elementCount(shape) * elementBytes[dtype] !== nBytes) {
    const message = `tensor ${quoteName(name)} of type ${dtype} and shape [${shape.join(', ')}] has ${nBytes} bytes`;
    return refuse(file, message);
  }
  return { name, dtype, shape, offset: dataStart + begin, nBytes };
};

const checkNoOverlap = (entries: readonly SafetensorsEntry[], file: string): void => {
  let previous: SafetensorsEntry | undefined;
  // An empty tensor may sit on a border: it is looked at before the one that begins there.
  for (const entry of entries.toSorted((a, b) => a.offset - b.offset || a.nBytes - b.nBytes)) {
    if (previous !== undefined && entry.offset < previous.offset + previous.nBytes)
      refuse(file, `tensors ${quoteName(previous.name)} and ${quoteName(entry.name)} overlap`);
    previous = entry;
  }
};

/**
 * @param header The bytes after the first eight, as many as `headerLength` said.
 * @throws CortexError `model_load_failed`, naming `file` and the tensor at fault.
 */
export const parseSafetensorsHeader = (
  header: Uint8Array,
  nFileBytes: number,
  file: string,
): readonly SafetensorsEntry[] => {
  const dataStart = lengthBytes + header.byteLength;
  const values = Object.entries(parseJson(header, file)).filter(([name]) => name !== '__metadata__');
  if (values.length > tensorsMax) return refuse(file, `has ${values.length} tensors, more than the ${tensorsMax} read`);
  const entries = values.map(([name, value]) => parseEntry(name, value, dataStart, nFileBytes, file));
  checkNoOverlap(entries, file);
  const end = entries.reduce((last, { offset, nBytes }) => Math.max(last, offset + nBytes), dataStart);
  // As the format's own library: what no tensor names is a sign of a broken file.
  if (end !== nFileBytes) refuse(file, `has ${nFileBytes - end} bytes behind its last tensor`);
  return entries;
};
