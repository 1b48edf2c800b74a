/**
 * For tests and benchmarks: the bytes of a GGUF v3 file, from metadata and tensors whose data is made as it is written.
 * Follows the format's description in ggml-org/ggml, `docs/gguf.md`.
 */
import type { TensorType } from '@cortex/ggml';
import { rowBytes } from '@cortex/ggml';
import { closeSync, openSync, writeSync } from 'node:fs';

/** The value types of the format that these models need, with their numbers. */
const valueTypes = { u16: 2, u32: 4, i32: 5, f32: 6, bool: 7, string: 8 } as const;
type Scalar = keyof typeof valueTypes;
const arrayType = 9;

export type GgufValue =
  | { readonly kind: Scalar; readonly value: number | boolean | string }
  | { readonly kind: 'array'; readonly of: Scalar; readonly values: readonly (number | boolean | string)[] };

export type GgufMetadata = Readonly<Record<string, GgufValue>>;

export const scalar = (kind: Scalar, value: number | boolean | string): GgufValue => ({ kind, value });
export const list = (of: Scalar, values: readonly (number | boolean | string)[]): GgufValue => ({
  kind: 'array',
  of,
  values,
});

export interface GgufTensor {
  readonly name: string;
  /** ggml's order: row length first. */
  readonly ne: readonly number[];
  readonly type: TensorType;
  /** The data in pieces, together as long as type and `ne` say. */
  readonly data: () => Iterable<Uint8Array>;
}

const alignment = 32;
const version = 3;

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.byteLength), bytes]);
};

const scalarBytes = (kind: Scalar, value: number | boolean | string): Buffer => {
  if (kind === 'string') return text(String(value));
  if (kind === 'bool') return Buffer.from([value === true ? 1 : 0]);
  const bytes = Buffer.alloc(kind === 'u16' ? 2 : 4);
  const number = Number(value);
  if (kind === 'u16') bytes.writeUInt16LE(number);
  else if (kind === 'u32') bytes.writeUInt32LE(number);
  else if (kind === 'i32') bytes.writeInt32LE(number);
  else bytes.writeFloatLE(number);
  return bytes;
};

const valueBytes = (value: GgufValue): Buffer =>
  value.kind === 'array'
    ? Buffer.concat([
        u32(arrayType),
        u32(valueTypes[value.of]),
        u64(value.values.length),
        ...value.values.map((item) => scalarBytes(value.of, item)),
      ])
    : Buffer.concat([u32(valueTypes[value.kind]), scalarBytes(value.kind, value.value)]);

/** Bytes of a tensor's data. */
export const dataBytes = ({ type, ne }: Pick<GgufTensor, 'type' | 'ne'>): number =>
  rowBytes(type, ne[0] ?? 1) * ne.slice(1).reduce((product, n) => product * n, 1);

const aligned = (nBytes: number): number => Math.ceil(nBytes / alignment) * alignment;

const headerBytes = (metadata: GgufMetadata, tensors: readonly GgufTensor[]): Buffer => {
  const entries = Object.entries({ ...metadata, 'general.alignment': scalar('u32', alignment) });
  let offset = 0;
  const infos = tensors.map((tensor) => {
    const info = Buffer.concat([
      text(tensor.name),
      u32(tensor.ne.length),
      ...tensor.ne.map(u64),
      u32(tensor.type.id),
      u64(offset),
    ]);
    offset += aligned(dataBytes(tensor));
    return info;
  });
  const bytes = Buffer.concat([
    Buffer.from('GGUF'),
    u32(version),
    u64(tensors.length),
    u64(entries.length),
    ...entries.flatMap(([key, value]) => [text(key), valueBytes(value)]),
    ...infos,
  ]);
  return Buffer.concat([bytes, Buffer.alloc(aligned(bytes.byteLength) - bytes.byteLength)]);
};

/** Replaces `path`. Holds one piece of one tensor at a time. */
export const writeGgufFile = (path: string, metadata: GgufMetadata, tensors: readonly GgufTensor[]): void => {
  const fd = openSync(path, 'w');
  try {
    writeSync(fd, headerBytes(metadata, tensors));
    for (const tensor of tensors) {
      const want = dataBytes(tensor);
      let nWritten = 0;
      for (const piece of tensor.data()) nWritten += writeSync(fd, piece);
      if (nWritten !== want) throw new Error(`${tensor.name}: ${nWritten} bytes written, ${want} wanted`);
      writeSync(fd, Buffer.alloc(aligned(want) - want));
    }
  } finally {
    closeSync(fd);
  }
};
