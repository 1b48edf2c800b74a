/** Which files of a checkpoint folder hold its weights, and, where an index says so, which tensor is in which. */
import { CortexError } from '@cortex/core';
import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import { isWeightFile, weightIndexFile } from '../model-store/checkpoint-folder.ts';
import { readModelJson } from '../model-files/model-json.ts';
import { quoteName } from './safetensors.ts';

export interface CheckpointFiles {
  /** Names in the folder. */
  readonly files: readonly string[];
  /** The file of each tensor; null without an index, when every tensor of the files counts. */
  readonly fileOfTensor: ReadonlyMap<string, string> | null;
}

const singleFile = 'model.safetensors';
/** Each is an open file until the checkpoint is closed. The largest models in use have fewer than 300. */
const filesMax = 1000;

const refuse = (folder: string, message: string): never => {
  throw new CortexError('model_load_failed', `${folder}: ${message}`);
};

/** No separators: an index must not lead out of its folder. */
const isPlainFileName = (name: unknown): name is string =>
  typeof name === 'string' && /^[\w.-]{1,250}\.safetensors$/.test(name);

const indexSchema = z.looseObject({
  // Checked here as a whole: a schema of every entry would be slow for models of many experts.
  weight_map: z.custom<Readonly<Record<string, unknown>>>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    { error: 'must map tensors to files' },
  ),
});

const filesOfIndex = async (dir: string, present: ReadonlySet<string>): Promise<CheckpointFiles> => {
  const folder = basename(dir);
  const index = await readModelJson(indexSchema, dir, weightIndexFile);
  const fileOfTensor = new Map<string, string>();
  for (const [tensor, file] of Object.entries(index?.weight_map ?? {})) {
    if (!isPlainFileName(file))
      return refuse(folder, `${weightIndexFile} puts ${quoteName(tensor)} in a file that cannot be`);
    fileOfTensor.set(tensor, file);
  }
  const files = [...new Set(fileOfTensor.values())];
  if (files.length === 0) return refuse(folder, `${weightIndexFile} names no tensors`);
  const missing = files.find((file) => !present.has(file));
  if (missing !== undefined) return refuse(folder, `${weightIndexFile} names ${missing}, which is missing`);
  return { files, fileOfTensor };
};

const shardName = /^(.*)-(\d{5})-of-(\d{5})\.safetensors$/;

/** Whether these are all the shards of one set, 1 to n, by their names. */
const isWholeSet = (files: readonly string[]): boolean => {
  const parts = files.map((file) => shardName.exec(file));
  const [, stem, , total] = parts[0] ?? [];
  const numbers = new Set(parts.map((part) => Number(part?.[2])));
  return (
    parts.every((part) => part !== null && part[1] === stem && part[3] === total) &&
    numbers.size === Number(total) &&
    files.every((_, i) => numbers.has(i + 1))
  );
};

/**
 * In the order that transformers looks: `model.safetensors`, then the index; then weights without either, where
 * their names leave no doubt.
 * @throws CortexError `model_load_failed`: none, several sets, an index that is broken or names what is not there.
 */
export const findCheckpointFiles = async (dir: string): Promise<CheckpointFiles> => {
  const folder = basename(dir);
  const names = await readdir(dir).catch((error: unknown) => {
    throw new CortexError('model_load_failed', `${folder}: the checkpoint's folder cannot be read`, { cause: error });
  });
  const present = new Set(names);
  if (present.has(singleFile)) return { files: [singleFile], fileOfTensor: null };
  const found = present.has(weightIndexFile)
    ? await filesOfIndex(dir, present)
    : { files: names.filter(isWeightFile).toSorted(), fileOfTensor: null };
  const { files } = found;
  if (files.length === 0) return refuse(folder, 'no *.safetensors file in the checkpoint');
  if (files.length > filesMax) return refuse(folder, `${files.length} weight files, more than the ${filesMax} opened`);
  if (found.fileOfTensor === null && files.length > 1 && !isWholeSet(files))
    return refuse(folder, `${files.length} *.safetensors files and no ${weightIndexFile} to say which belong`);
  return found;
};
