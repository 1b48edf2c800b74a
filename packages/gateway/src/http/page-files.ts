/**
 * The built page in memory, read once: what is served is what was there at the start, and no request's path reaches
 * the disk.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export type Encoding = 'br' | 'gzip';

export interface PageFile {
  readonly type: string;
  /** Of the plain bytes, in its quotes. */
  readonly etag: string;
  readonly plain: Buffer;
  /** Made when the page was built. */
  readonly packed: Readonly<Partial<Record<Encoding, Buffer>>>;
}

/** By path from the page's folder, such as `index.html` or `assets/index-1a2b.js`. */
export type PageFiles = ReadonlyMap<string, PageFile>;

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

const suffixes: Readonly<Record<Encoding, string>> = { br: '.br', gzip: '.gz' };

const readFile = (file: string, type: string): PageFile => {
  const plain = readFileSync(file);
  const packed: Partial<Record<Encoding, Buffer>> = {};
  for (const encoding of ['br', 'gzip'] as const)
    if (existsSync(file + suffixes[encoding])) packed[encoding] = readFileSync(file + suffixes[encoding]);
  const etag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 22)}"`;
  return { type, etag, plain, packed };
};

/** Empty when it was not built. */
export const readPageFiles = (folder: string): PageFiles => {
  const files = new Map<string, PageFile>();
  if (!existsSync(path.join(folder, 'index.html'))) return files;
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const type = types[path.extname(name)];
    if (type !== undefined) files.set(name.split(path.sep).join('/'), readFile(path.join(folder, name), type));
  }
  return files;
};

/** Where the page's package has it. */
export const builtPage = (): PageFiles =>
  readPageFiles(path.join(path.dirname(fileURLToPath(import.meta.resolve('@cortex/page/package.json'))), 'dist'));
