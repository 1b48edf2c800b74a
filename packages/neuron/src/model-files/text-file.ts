/**
 * A text file of a model's folder. Such files are strangers' input, and some are read on the thread that answers
 * requests: each may be as large as its kind gets, and must be a file. A pipe would keep the reader waiting for ever.
 */
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';

const mib = 2 ** 20;
/** The largest in use: 40 MB of tokenizer, 13 MB of index. */
const bytesMaxOf: ReadonlyMap<string, number> = new Map([
  ['tokenizer.json', 256 * mib],
  ['model.safetensors.index.json', 32 * mib],
]);
/** The largest in use have 1 MB. */
const usualBytesMax = 4 * mib;

/** Why a file was not read, for a message behind its name. */
export class UnreadText extends Error {}

const whyNot = (error: unknown): string =>
  `cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`;

/** Null where there is no such file. @throws UnreadText */
export const readTextFile = async (path: string): Promise<string | null> => {
  const bytesMax = bytesMaxOf.get(basename(path)) ?? usualBytesMax;
  try {
    const info = await stat(path);
    if (!info.isFile()) throw new UnreadText('is not a file');
    if (info.size > bytesMax) throw new UnreadText(`${info.size} bytes, more than the ${bytesMax} read`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof UnreadText) throw error;
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new UnreadText(whyNot(error), { cause: error });
  }
};
