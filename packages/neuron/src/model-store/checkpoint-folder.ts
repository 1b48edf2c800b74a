/**
 * Whether a folder is a whole checkpoint: `config.json` and every file of its weights. Only names and sizes are looked
 * at; what is inside the files is the engine's to judge.
 */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { readTextFile, UnreadText } from '../model-files/text-file.ts';

export type CheckpointFolder =
  | { readonly kind: 'complete'; readonly bytes: number }
  | { readonly kind: 'incomplete'; readonly reason: string }
  | { readonly kind: 'none' };

export const configFile = 'config.json';
export const weightIndexFile = 'model.safetensors.index.json';
/** Mistral's repositories hold their weights twice, adapters are not a model by themselves. */
export const isWeightFile = (name: string): boolean =>
  name.endsWith('.safetensors') && !/^(consolidated|adapter)/.test(name);

/** The largest models in use have fewer than 300. */
const shardsMax = 10_000;

const shardName = /^(.*)-(\d{5})-of-(\d{5})\.safetensors$/;

/** The names in an index's `weight_map`, or what is wrong with it. Names with a path in them are not followed. */
export const shardsOfIndex = (text: string): readonly string[] | string => {
  let index: unknown;
  try {
    index = JSON.parse(text);
  } catch {
    return `${weightIndexFile} is not JSON`;
  }
  const map = typeof index === 'object' && index !== null && 'weight_map' in index ? index.weight_map : null;
  if (typeof map !== 'object' || map === null) return `${weightIndexFile} has no weight_map`;
  const names = [...new Set(Object.values(map))];
  const good = names.filter((name) => typeof name === 'string' && /^[\w.-]+\.safetensors$/.test(name));
  if (good.length !== names.length || good.length === 0) return `${weightIndexFile} names files that cannot be`;
  return good.length > shardsMax ? `${weightIndexFile} names more than ${shardsMax} files` : good;
};

const shardsByIndex = async (dir: string): Promise<readonly string[] | string> => {
  try {
    return shardsOfIndex((await readTextFile(path.join(dir, weightIndexFile))) ?? '');
  } catch (error) {
    if (error instanceof UnreadText) return `${weightIndexFile}: ${error.message}`;
    throw error;
  }
};

const fiveDigits = (n: number): string => String(n).padStart(5, '0');

/** Shards without an index still say in their names how many they are. */
const shardsByName = (names: readonly string[]): readonly string[] => {
  const weights = names.filter(isWeightFile);
  const total = Number(weights.map((name) => shardName.exec(name)?.[3]).find((count) => count !== undefined) ?? 0);
  const stem = weights.map((name) => shardName.exec(name)?.[1]).find((prefix) => prefix !== undefined) ?? '';
  if (total === 0 || total > shardsMax) return weights;
  return Array.from({ length: total }, (_, i) => `${stem}-${fiveDigits(i + 1)}-of-${fiveDigits(total)}.safetensors`);
};

const sizeOf = async (file: string): Promise<number | null> => {
  try {
    const info = await stat(file);
    return info.isFile() ? info.size : null;
  } catch {
    return null;
  }
};

/** Symlinks are followed; a dangling one, as in a cache whose blob is still on its way, is a missing file. */
export const inspectFolder = async (dir: string): Promise<CheckpointFolder> => {
  let names: readonly string[];
  try {
    names = await readdir(dir);
  } catch {
    return { kind: 'none' };
  }
  if (!names.includes(configFile)) return { kind: 'none' };
  if ((await sizeOf(path.join(dir, configFile))) === null)
    return { kind: 'incomplete', reason: `missing ${configFile}` };
  const shards = names.includes(weightIndexFile) ? await shardsByIndex(dir) : shardsByName(names);
  if (typeof shards === 'string') return { kind: 'incomplete', reason: shards };
  if (shards.length === 0) return { kind: 'none' };
  const sizes = await Promise.all(shards.map((name) => sizeOf(path.join(dir, name))));
  const missing = shards.find((_, i) => sizes[i] === null);
  if (missing !== undefined) return { kind: 'incomplete', reason: `missing ${missing}` };
  return { kind: 'complete', bytes: sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0) };
};
