/**
 * For tests and benchmarks: writes a Hugging Face folder as GGUF, with llama.cpp's names and transformations, as its
 * converter would. Tensors are read, changed and quantised piece by piece, so memory stays small for large models.
 */
import { fromF32, openLibrary, rowBytes, tensorTypes, type TensorType, type TensorTypeName } from '@cortex/ggml';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CheckpointValues } from './gguf/checkpoint-values.ts';
import { dataBytes, scalar, writeGgufFile, type GgufMetadata, type GgufTensor } from './gguf/gguf-file.ts';
import type { TensorPlan } from './gguf/tensor-plan.ts';
import { textSizes } from './gguf/text-config.ts';
import { sizeKeys, tokenizerKeys } from './gguf/text-metadata.ts';
import { hasPredictor, textPlans } from './gguf/text-plans.ts';
import { towerKeys, towerPlans } from './gguf/tower.ts';

export interface WriteGgufOptions {
  /** Of the matrices; norms, gates and tables stay f32. A type whose blocks do not divide a row gives way as below. */
  readonly type?: TensorTypeName;
  /** For single tensors by GGUF name; undefined leaves the rule. */
  readonly typeOf?: (name: string) => TensorTypeName | undefined;
  /** More than one: split files, `name-00001-of-00003.gguf`. */
  readonly nSplits?: number;
  /** One tensor for gates and ups of all experts. */
  readonly fusedExperts?: boolean;
  /** Further tensors, each of one f32. */
  readonly extraTensors?: readonly string[];
  /** One tensor for queries, keys and values. */
  readonly fusedAttention?: boolean;
}

/** Values handled at once. */
const chunkValues = 2 ** 22;

/** Where K-quants do not fit Q8_0 may, and F16 always does. */
const fitting = (wanted: TensorTypeName, rowLength: number): TensorType =>
  [tensorTypes[wanted], tensorTypes.q8_0].find(({ blockSize }) => rowLength % blockSize === 0) ?? tensorTypes.f16;

const isBlockType = (name: TensorTypeName): boolean => tensorTypes[name].blockSize > 1;

/** Quantised models keep the head and the table a step finer, and the tiny gates of the delta rule two. */
const ruleType = (name: string, type: TensorTypeName): TensorTypeName => {
  if (!isBlockType(type) || type === 'q8_0') return type;
  if (name === 'token_embd.weight' || name === 'output.weight') return 'q6_K';
  return /\.ssm_(alpha|beta)\.weight$/.test(name) ? 'q8_0' : type;
};

const typeOfPlan = ({ name, ne, precision }: TensorPlan, { type = 'f32', typeOf }: WriteGgufOptions): TensorType =>
  fitting(typeOf?.(name) ?? (precision === 'exact' ? 'f32' : ruleType(name, type)), ne[0] ?? 1);

const countOf = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

function* pieceValues(plan: TensorPlan, checkpoint: CheckpointValues, step: number): Iterable<Float32Array> {
  for (const { name, first = 0, n = countOf(checkpoint.shape(name)) } of plan.pieces)
    for (let done = 0; done < n; done += step) yield checkpoint.read(name, first + done, Math.min(step, n - done));
}

const joined = (parts: readonly Float32Array[]): Float32Array => {
  const all = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
};

const tensorOf = (plan: TensorPlan, type: TensorType, checkpoint: CheckpointValues): GgufTensor => {
  const { name, ne, map } = plan;
  const rowLength = ne[0] ?? 1;
  // Whole rows; a checkpoint's rows are as long or multiples.
  const step = Math.max(1, Math.floor(chunkValues / rowLength)) * rowLength;
  const { native } = openLibrary();
  const encode = (values: Float32Array): Uint8Array => {
    const nRows = values.length / rowLength;
    const bytes = new Uint8Array(rowBytes(type, rowLength) * nRows);
    fromF32(native, type, values, bytes, { nRows, nPerRow: rowLength });
    return bytes;
  };
  return {
    name,
    ne,
    type,
    *data() {
      const pieces = pieceValues(plan, checkpoint, step);
      if (map !== undefined) yield encode(map(joined([...pieces])));
      else for (const values of pieces) yield encode(values);
    },
  };
};

const oneValue = (name: string): GgufTensor => ({
  name,
  ne: [1],
  type: tensorTypes.f32,
  data: () => [new Uint8Array(Float32Array.of(3).buffer)],
});

const fiveDigits = (n: number): string => String(n).padStart(5, '0');

/** Names of a model's split files, of which the first is the one to open. */
const splitPaths = (path: string, nSplits: number): readonly string[] =>
  nSplits === 1
    ? [path]
    : Array.from(
        { length: nSplits },
        (_, i) => `${path.replace(/\.gguf$/, '')}-${fiveDigits(i + 1)}-of-${fiveDigits(nSplits)}.gguf`,
      );

const writeSplits = (path: string, metadata: GgufMetadata, tensors: readonly GgufTensor[], nSplits: number): void => {
  const nBytes = tensors.reduce((sum, tensor) => sum + dataBytes(tensor), 0);
  const groups = Array.from<unknown, GgufTensor[]>({ length: nSplits }, () => []);
  let before = 0;
  for (const tensor of tensors) {
    groups[Math.floor((before / nBytes) * nSplits)]?.push(tensor);
    before += dataBytes(tensor);
  }
  for (const [i, file] of splitPaths(path, nSplits).entries()) {
    const split: GgufMetadata = {
      'split.no': scalar('u16', i),
      'split.count': scalar('u16', nSplits),
      'split.tensors.count': scalar('i32', tensors.length),
    };
    writeGgufFile(file, i === 0 ? { ...metadata, ...split } : split, groups[i] ?? []);
  }
};

const readConfig = (dir: string): Readonly<Record<string, unknown>> =>
  JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'));

/**
 * The language model of the folder `dir`, with its tokenizer and chat template, and with the predicting block if the
 * checkpoint has one (`mtp.*`).
 * @returns The files written, the one to open first.
 */
export const writeGguf = (dir: string, path: string, options: WriteGgufOptions = {}): readonly string[] => {
  using checkpoint = new CheckpointValues(dir);
  const sizes = textSizes(readConfig(dir));
  const { fusedExperts = false, fusedAttention = false } = options;
  const plans = textPlans(sizes, checkpoint, { fusedExperts, fusedAttention });
  const tensors = [
    ...plans.map((plan) => tensorOf(plan, typeOfPlan(plan, options), checkpoint)),
    ...(options.extraTensors ?? []).map(oneValue),
  ];
  const metadata = { ...sizeKeys(sizes, hasPredictor(checkpoint) ? 1 : 0), ...tokenizerKeys(dir, sizes) };
  const nSplits = options.nSplits ?? 1;
  if (nSplits === 1) writeGgufFile(path, metadata, tensors);
  else writeSplits(path, metadata, tensors, nSplits);
  return splitPaths(path, nSplits);
};

/** The tower of the folder `dir` as llama.cpp's second file, `mmproj-*.gguf`. */
export const writeMmproj = (
  dir: string,
  path: string,
  options: Pick<WriteGgufOptions, 'type' | 'typeOf'> & {
    readonly attention?: 'fused' | 'split';
    readonly projector?: string;
  } = {},
): void => {
  using checkpoint = new CheckpointValues(dir);
  const config = readConfig(dir);
  const plans = towerPlans(config, checkpoint, options.attention ?? 'fused');
  const tensors = plans.map((plan) => tensorOf(plan, typeOfPlan(plan, options), checkpoint));
  writeGgufFile(path, towerKeys(dir, config, options.projector), tensors);
};
