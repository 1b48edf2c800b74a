/** A picture from disk as a part of a message. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { CortexError, type ContentPart } from '@cortex/core';

const signatures: readonly (readonly [string, string])[] = [
  ['\u0089PNG', 'image/png'],
  ['\u00FF\u00D8\u00FF', 'image/jpeg'],
  ['GIF8', 'image/gif'],
];

/** By its first bytes, whatever the file is called; null for what no model is sent. */
const imageTypeOf = (bytes: Buffer): string | null => {
  const head = bytes.subarray(0, 12).toString('latin1');
  if (head.startsWith('RIFF') && head.startsWith('WEBP', 8)) return 'image/webp';
  return signatures.find(([start]) => head.startsWith(start))?.[1] ?? null;
};

/** A path as it is typed, or as a terminal writes a file that was dropped on it: quoted, or with escaped spaces. */
export const typedPath = (text: string, homeDir: string): string => {
  const trimmed = text.trim();
  const quoted = /^(['"])(.*)\1$/.exec(trimmed)?.[2];
  const plain = quoted ?? trimmed.replaceAll(/\\(.)/g, '$1');
  return plain.startsWith('~/') ? path.join(homeDir, plain.slice(2)) : plain;
};

/** @throws CortexError `invalid_image` naming the file. */
export const imagePart = async (file: string, homeDir: string): Promise<ContentPart> => {
  const name = typedPath(file, homeDir);
  let bytes: Buffer;
  try {
    bytes = await readFile(name);
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'a folder, not a picture' : message;
    throw new CortexError('invalid_image', `${name}: ${why}`);
  }
  const type = imageTypeOf(bytes);
  if (type === null) throw new CortexError('invalid_image', `${name}: not a PNG, JPEG, WebP or GIF picture`);
  return { type: 'image_url', image_url: { url: `data:${type};base64,${bytes.toString('base64')}` } };
};
