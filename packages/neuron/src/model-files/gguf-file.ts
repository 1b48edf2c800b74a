/** GGUF files on disk: their headers, read once, the parts of a split model, and the tower that lies beside it. */
import type { Stats } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CortexError } from '@cortex/core';
import { ggufHeaderSteps, type GgufHeader, type Steps } from './gguf-header.ts';
import type { GgufMetadata } from './gguf-metadata.ts';

export const isGguf = (path: string): boolean => path.endsWith('.gguf');

/** Read first; a vocabulary of a quarter of a million takes ten times as much. */
const firstBytes = 2 ** 20;
const headerBytesMax = 256 * 2 ** 20;
/** A model and its tower. */
const headersKept = 2;

const refuse = (file: string, message: string, cause?: unknown): CortexError =>
  new CortexError('model_load_failed', `${file}: ${message}`, { cause });

/** A list of models is read on the thread that answers requests. */
const inTurns = async <T>(steps: Steps<T>): Promise<T> => {
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done === true) return step.value;
    await new Promise(setImmediate);
  }
};

const stampOf = ({ mtimeMs, size }: Stats): string => `${mtimeMs} ${size}`;

const readHeader = async (path: string): Promise<{ readonly stamp: string; readonly header: GgufHeader }> => {
  const file = basename(path);
  const unreadable = (error: unknown): never => {
    throw refuse(file, `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`, error);
  };
  // Opening a pipe would wait for its other end.
  const info = await stat(path).catch(unreadable);
  if (!info.isFile()) throw refuse(file, 'is not a file');
  await using handle = await open(path, 'r').catch(unreadable);
  let nWanted = Math.min(firstBytes, info.size);
  for (;;) {
    const bytes = new Uint8Array(nWanted);
    const { bytesRead } = await handle.read(bytes, 0, nWanted, 0);
    if (bytesRead < nWanted) throw refuse(file, 'became shorter while it was read');
    const header = await inTurns(ggufHeaderSteps(bytes, info.size, file));
    if (!('kind' in header)) return { stamp: stampOf(info), header };
    if (header.nBytes > headerBytesMax)
      throw refuse(file, `its header is larger than the ${headerBytesMax} bytes read`);
    nWanted = Math.min(Math.max(header.nBytes, 4 * nWanted), info.size, headerBytesMax);
  }
};

const kept = new Map<string, { readonly stamp: string; readonly header: GgufHeader }>();

/** @throws CortexError `model_load_failed` naming the file. */
export const readGgufHeader = async (path: string): Promise<GgufHeader> => {
  const known = kept.get(path);
  if (known !== undefined) {
    const info = await stat(path).catch(() => null);
    if (info !== null && known.stamp === stampOf(info)) return known.header;
  }
  const read = await readHeader(path);
  kept.delete(path);
  kept.set(path, read);
  const [oldest] = kept.keys();
  if (kept.size > headersKept && oldest !== undefined) kept.delete(oldest);
  return read.header;
};

const splitName = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;
const partsMax = 1000;

const fiveDigits = (n: number): string => String(n).padStart(5, '0');

/** Names of all files of a model whose first file has this name; itself alone when it is not split. */
export const ggufPartNames = (name: string): readonly string[] => {
  const [, stem, first, total] = splitName.exec(name) ?? [];
  const n = Number(total ?? 1);
  if (stem === undefined || Number(first) !== 1 || n < 1 || n > partsMax) return [name];
  return Array.from({ length: n }, (_, i) => `${stem}-${fiveDigits(i + 1)}-of-${fiveDigits(n)}.gguf`);
};

/** The model's name by its file's; null for a tower, for a part that is not the first, and for other files. */
export const ggufModelName = (name: string): string | null => {
  if (!isGguf(name) || isTowerName(name)) return null;
  const [, stem, number] = splitName.exec(name) ?? [];
  if (stem === undefined) return name.slice(0, -'.gguf'.length);
  return Number(number) === 1 ? stem : null;
};

const isTowerName = (name: string): boolean => isGguf(name) && /mmproj/i.test(name);

/** f16 first: half the memory of f32, and computed more precisely than bf16. */
const towerTypes = [/(^|[^b])f16/i, /bf16/i, /f32/i];

const preference = (name: string): number => {
  const at = towerTypes.findIndex((type) => type.test(name));
  return at < 0 ? towerTypes.length : at;
};

/** Names of the files in a folder that may hold a tower, the preferred first. */
const ggufTowerNames = (names: readonly string[]): readonly string[] =>
  names.filter(isTowerName).toSorted((a, b) => preference(a) - preference(b) || a.localeCompare(b));

/** A GGUF model's description: its own, and that of the tower beside it, if one has its width. */
export interface GgufModel {
  readonly metadata: GgufMetadata;
  readonly tower: { readonly path: string; readonly metadata: GgufMetadata } | null;
}

/** @throws CortexError `model_load_failed`. */
export const readGgufModel = async (path: string): Promise<GgufModel> => {
  const { metadata } = await readGgufHeader(path);
  const width = metadata.number(`${metadata.text('general.architecture') ?? ''}.embedding_length`);
  for (const name of ggufTowerNames(await readdir(dirname(path)))) {
    const towerPath = join(dirname(path), name);
    const { metadata: tower } = await readGgufHeader(towerPath);
    if (tower.number('clip.vision.projection_dim') === width)
      return { metadata, tower: { path: towerPath, metadata: tower } };
  }
  return { metadata, tower: null };
};
