/** GGUF models in a folder: each file is one, but for towers and the later parts of a split one. */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { ggufModelName, ggufPartNames } from '../model-files/gguf-file.ts';
import type { CheckpointFolder } from './checkpoint-folder.ts';

export interface GgufFile {
  /** Without ending and part number. */
  readonly name: string;
  /** The only or first file. */
  readonly path: string;
}

/** In order of name. Links are followed when the file is looked at. */
export const ggufModelsIn = async (dir: string): Promise<readonly GgufFile[]> => {
  const names = await readdir(dir).catch((): string[] => []);
  return names.toSorted().flatMap((file) => {
    const name = file.startsWith('.') ? null : ggufModelName(file);
    return name === null ? [] : [{ name, path: path.join(dir, file) }];
  });
};

/** Whether all parts are there; what is inside them is the engine's to judge. */
export const inspectGguf = async (file: string): Promise<CheckpointFolder> => {
  const dir = path.dirname(file);
  const names = ggufPartNames(path.basename(file));
  const infos = await Promise.all(names.map((name) => stat(path.join(dir, name)).catch(() => null)));
  const missing = names.find((_, i) => infos[i]?.isFile() !== true);
  if (missing !== undefined) return { kind: 'incomplete', reason: `missing ${missing}` };
  return { kind: 'complete', bytes: infos.reduce((sum, info) => sum + (info?.size ?? 0), 0) };
};
