/** The packages' source as text: files, what each imports, and its code without comments. Tests of the packages are left out. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

export const root = path.resolve(import.meta.dirname, '..');

export interface Import {
  /** The package's name, or the imported file's path from the repository's root. */
  readonly target: string;
  /** `type`: erased by the compiler. `url`: a worker's entry, named by `new URL`. */
  readonly kind: 'value' | 'type' | 'url';
}

export interface SourceFile {
  /** From the repository's root, with forward slashes. */
  readonly file: string;
  readonly packageName: string;
  /** The folder under src, '' for a file directly in it. */
  readonly folder: string;
  readonly code: string;
  readonly imports: readonly Import[];
}

const statement = /^(?:import|export)\s+(?<type>type\s)?(?:[^;'"]*?\sfrom\s+)?'(?<name>[^']+)'/gm;
const dynamic = /\bimport(?:\.meta\.resolve)?\('(?<name>[^']+)'\)/g;
const workerUrl = /new URL\('(?<name>[^']+\.ts)', import\.meta\.url\)/g;

/** `@scope/name` or `name` of a deep import. */
const packageOf = (name: string): string =>
  name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');

const targetOf = (file: string, name: string): string =>
  name.startsWith('.') ? path.posix.join(path.posix.dirname(file), name) : packageOf(name);

export const withoutComments = (text: string): string =>
  text
    .replaceAll(/^\s*\/\*[\s\S]*?\*\//gm, '')
    .replaceAll(/^\s*\/\/.*\n/gm, '')
    .replaceAll(/\s\/\/ .*$/gm, '');

export const importsOf = (file: string, text: string): readonly Import[] => {
  const found: Import[] = [];
  const add = (name: string | undefined, kind: Import['kind']): void => {
    if (name === undefined || name.startsWith('node:')) return;
    found.push({ target: targetOf(file, name), kind });
  };
  for (const { groups } of text.matchAll(statement)) {
    add(groups?.['name'], groups?.['type'] === undefined ? 'value' : 'type');
  }
  const code = withoutComments(text);
  for (const { groups } of code.matchAll(dynamic)) add(groups?.['name'], 'value');
  for (const { groups } of code.matchAll(workerUrl)) add(groups?.['name'], 'url');
  return found;
};

const read = (file: string): SourceFile => {
  const [, packageName = '', , ...inside] = file.split('/');
  const text = readFileSync(path.join(root, file), 'utf8');
  return {
    file,
    packageName,
    folder: inside.length > 1 ? (inside[0] ?? '') : '',
    code: withoutComments(text),
    imports: importsOf(file, text),
  };
};

const packageFolders: readonly string[] = readdirSync(path.join(root, 'packages')).sort();

export const sourceFiles: readonly SourceFile[] = packageFolders
  .flatMap((name) =>
    readdirSync(path.join(root, 'packages', name, 'src'), { recursive: true, encoding: 'utf8' }).map((file) =>
      ['packages', name, 'src', ...file.split(path.sep)].join('/'),
    ),
  )
  .filter((file) => /\.tsx?$/.test(file) && !file.endsWith('.test.ts'))
  .sort()
  .map(read);
