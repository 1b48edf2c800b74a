/**
 * For tests and benchmarks: writes a generated model as a Hugging Face folder. One seed gives the same bytes on every
 * machine, whatever the shards. Weights are written as they are drawn, so memory stays small for large models.
 */
import { copyFile, mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { elementBytes, type CheckpointDtype } from '../src/model/safetensors.ts';
import { Random } from '../src/sampling/random.ts';
import type { GeneratedModel, TensorSpec } from './generated-models.ts';

export interface WriteCheckpointOptions {
  readonly dtype?: CheckpointDtype;
  /** A non-negative integer below 2 ** 21. */
  readonly seed?: number;
  /** More than one: an index is written, and each has about the same bytes. */
  readonly nShards?: number;
}

const fixture = new URL('../../../fixtures/models/qwen3_5-vl-tiny/', import.meta.url);
const promptFiles = ['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja', 'generation_config.json'];

const torchDtype = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;

/** FNV-1a: a seed of its own for every tensor, so that order and shards do not matter. */
const hashOf = (text: string): number => {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
};

/** Box and Muller's two values from two; 1 - next() is never zero. */
const fillNormal = (values: Float32Array, mean: number, std: number, random: Random): void => {
  for (let i = 0; i < values.length; i += 2) {
    const radius = std * Math.sqrt(-2 * Math.log(1 - random.next()));
    const angle = 2 * Math.PI * random.next();
    values[i] = mean + radius * Math.cos(angle);
    // Past the end of an odd length this writes nothing.
    values[i + 1] = mean + radius * Math.sin(angle);
  }
};

/**
 * Values drawn for one tensor at most; a larger one repeats them. A prime, and more than a vocabulary, so that no two
 * rows of a matrix are the same. Nothing that is measured on so large a model looks at the values.
 */
const drawsMax = 262_147;

/** The last `n` in front. */
const rotated = (values: Float32Array, n: number): Float32Array => {
  const result = new Float32Array(values.length);
  result.set(values.subarray(values.length - n), 0);
  result.set(values.subarray(0, values.length - n), n);
  return result;
};

const drawValues = ({ name, fill, shape }: TensorSpec, nElements: number, seed: number): Float32Array => {
  const rowLength = shape.at(-1) ?? 1;
  if (fill.kind === 'diagonal') return new Float32Array(Math.min(rowLength + 1, nElements)).fill(1, 0, 1);
  if (fill.kind === 'row_later') {
    const values = drawValues({ name: fill.of, fill: fill.fill, shape }, nElements, seed);
    return rotated(values, rowLength);
  }
  const random = new Random(seed * 2 ** 32 + hashOf(name));
  const values = new Float32Array(Math.min(nElements, drawsMax));
  if (fill.kind === 'normal') {
    fillNormal(values, fill.mean, fill.std, random);
    return values;
  }
  for (let i = 0; i < values.length; i++) {
    const value = fill.min + (fill.max - fill.min) * random.next();
    values[i] = fill.kind === 'log_uniform' ? Math.log(value) : value;
  }
  return values;
};

/** The upper half of a word, rounded to nearest, ties to even. */
const upperHalf = (word: number): number => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;

const toBf16 = (values: Float32Array): Uint16Array =>
  new Uint16Array(new Uint32Array(values.buffer, values.byteOffset, values.length).map(upperHalf));

const roundEven = (value: number): number => {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
};

/** To nearest, ties to even. For values within F16's range. */
const halfOf = (value: number): number => {
  const magnitude = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  // Below 2^-14 the step stays that of the smallest exponent.
  const exponent = Math.max(-14, magnitude === 0 ? -14 : Math.floor(Math.log2(magnitude)));
  const mantissa = roundEven((magnitude / 2 ** exponent) * 1024);
  // A mantissa of 2048 carries into the exponent, one below 1024 is subnormal: both by plain addition.
  return sign | ((exponent + 14) * 1024 + mantissa);
};

/** Little-endian, as safetensors are. */
const encoders = {
  F32: (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  F16: (values: Float32Array) => new Uint8Array(new Uint16Array(values.map(halfOf)).buffer),
  BF16: (values: Float32Array) => new Uint8Array(toBf16(values).buffer),
} as const satisfies Record<CheckpointDtype, (values: Float32Array) => Uint8Array>;

/** For finite values within the type's range. */
export const encodeValues = (values: Float32Array, dtype: CheckpointDtype): Uint8Array => encoders[dtype](values);

interface Placed {
  readonly spec: TensorSpec;
  readonly dtype: CheckpointDtype;
  readonly nElements: number;
  readonly nBytes: number;
}

const place = (spec: TensorSpec, modelDtype: CheckpointDtype): Placed => {
  const dtype = spec.isF32Always === true ? 'F32' : modelDtype;
  const nElements = spec.shape.reduce((product, n) => product * n, 1);
  return { spec, dtype, nElements, nBytes: nElements * elementBytes[dtype] };
};

const headerOf = (tensors: readonly Placed[]): Uint8Array => {
  let offset = 0;
  const entries = tensors.map(({ spec, dtype, nBytes }) => {
    const begin = offset;
    offset += nBytes;
    return [spec.name, { dtype, shape: spec.shape, data_offsets: [begin, offset] }] as const;
  });
  const text = JSON.stringify({ __metadata__: { format: 'pt' }, ...Object.fromEntries(entries) });
  // Spaces, so that the data begins on a multiple of eight.
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.byteLength));
  return Buffer.concat([length, json]);
};

const writeShard = async (path: string, tensors: readonly Placed[], seed: number): Promise<void> => {
  await using file = await open(path, 'w');
  await file.writeFile(headerOf(tensors));
  for (const { spec, dtype, nElements, nBytes } of tensors) {
    const period = encodeValues(drawValues(spec, nElements, seed), dtype);
    for (let nWritten = 0; nWritten < nBytes; nWritten += period.byteLength)
      await file.writeFile(period.subarray(0, nBytes - nWritten));
  }
};

/** Consecutive tensors, each shard ending where its share of the bytes does. */
const splitShards = (tensors: readonly Placed[], nShards: number): readonly (readonly Placed[])[] => {
  const nBytes = tensors.reduce((sum, placed) => sum + placed.nBytes, 0);
  const shards = Array.from<unknown, Placed[]>({ length: nShards }, () => []);
  let before = 0;
  for (const placed of tensors) {
    shards[Math.floor((before / nBytes) * nShards)]?.push(placed);
    before += placed.nBytes;
  }
  return shards.filter((shard) => shard.length > 0);
};

const fiveDigits = (n: number): string => String(n).padStart(5, '0');

const writeJson = (path: string, value: unknown): Promise<void> =>
  writeFile(path, `${JSON.stringify(value, null, 2)}\n`);

/** Makes `dir` where it is not there; files of the same names are replaced. */
export const writeCheckpoint = async (
  dir: string,
  model: GeneratedModel,
  { dtype = 'F32', seed = 1, nShards = 1 }: WriteCheckpointOptions = {},
): Promise<void> => {
  await mkdir(dir, { recursive: true });
  await writeJson(join(dir, 'config.json'), { ...model.config, dtype: torchDtype[dtype] });
  for (const file of [...promptFiles, ...(model.hasVision ? ['preprocessor_config.json'] : [])])
    await copyFile(new URL(file, fixture), join(dir, file));

  const shards = splitShards(
    model.tensors.map((spec) => place(spec, dtype)),
    nShards,
  );
  const nameOf = (i: number): string =>
    shards.length === 1
      ? 'model.safetensors'
      : `model-${fiveDigits(i + 1)}-of-${fiveDigits(shards.length)}.safetensors`;
  for (const [i, shard] of shards.entries()) await writeShard(join(dir, nameOf(i)), shard, seed);
  if (shards.length === 1) return;
  const all = shards.flatMap((shard, i) => shard.map((placed) => ({ placed, file: nameOf(i) })));
  await writeJson(join(dir, 'model.safetensors.index.json'), {
    metadata: { total_size: all.reduce((sum, { placed }) => sum + placed.nBytes, 0) },
    weight_map: Object.fromEntries(all.map(({ placed, file }) => [placed.spec.name, file])),
  });
};
