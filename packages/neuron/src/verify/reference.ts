/** A directory of reference numbers, as `fixtures/README.md` describes it: what to replay and what must come out. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { toolSchema } from '@cortex/core';
import { z } from 'zod';
import type { TemplateMessage } from '../chat/messages.ts';
import { headerLength, lengthBytes, parseSafetensorsHeader } from '../model/safetensors.ts';

export interface ReferenceTensor {
  readonly shape: readonly number[];
  /** Integers of any width as numbers. */
  readonly values: Float32Array | Int32Array;
}

const caseSchema = z.looseObject({
  messages: z.array(z.custom<TemplateMessage>((value) => typeof value === 'object' && value !== null)),
  tools: z.array(toolSchema).nullish(),
  template_kwargs: z.record(z.string(), z.unknown()).nullish(),
  images: z.array(z.string()).default([]),
  prompt: z.string(),
  prompt_tokens: z.int(),
  rope_delta: z.int().nullish(),
});

export interface ReferenceCase {
  readonly name: string;
  readonly spec: z.infer<typeof caseSchema>;
  readonly tensors: ReadonlyMap<string, ReferenceTensor>;
}

const valuesOf = (dtype: string, bytes: Uint8Array): Float32Array | Int32Array => {
  // Offsets inside the file promise no alignment: typed arrays want a copy.
  const { buffer } = new Uint8Array(bytes);
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer);
    case 'I32':
      return new Int32Array(buffer);
    case 'I64':
      return Int32Array.from(new BigInt64Array(buffer), Number);
    case 'U8':
      return Int32Array.from(new Uint8Array(buffer));
    default:
      throw new Error(`reference tensors of type ${dtype} are not read here`);
  }
};

const readTensors = async (file: string): Promise<Map<string, ReferenceTensor>> => {
  const bytes = new Uint8Array(await readFile(file));
  const label = path.basename(file);
  const nHeader = headerLength(bytes.subarray(0, lengthBytes), bytes.length, label);
  const entries = parseSafetensorsHeader(bytes.subarray(lengthBytes, lengthBytes + nHeader), bytes.length, label);
  return new Map(
    entries.map(({ name, dtype, shape, offset, nBytes }) => [
      name,
      { shape, values: valuesOf(dtype, bytes.subarray(offset, offset + nBytes)) },
    ]),
  );
};

const entriesOf = async (dir: string): Promise<string[]> =>
  (await readdir(dir).catch(() => [])).toSorted((a, b) => a.localeCompare(b));

/** Models that have cases. @throws Error when there are none. */
export const referenceModels = async (root: string): Promise<string[]> => {
  const names = await entriesOf(path.join(root, 'cases'));
  if (names.length === 0) throw new Error(`${root} has no cases/<model>/<case>.json`);
  return names;
};

export const referenceCases = async (root: string, model: string): Promise<ReferenceCase[]> => {
  const dir = path.join(root, 'cases', model);
  const files = (await entriesOf(dir)).filter((file) => file.endsWith('.json'));
  return Promise.all(
    files.map(async (file) => ({
      name: file.slice(0, -'.json'.length),
      spec: caseSchema.parse(JSON.parse(await readFile(path.join(dir, file), 'utf8'))),
      tensors: await readTensors(path.join(dir, file.replace(/\.json$/, '.safetensors'))),
    })),
  );
};
