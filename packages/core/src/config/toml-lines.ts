/**
 * Where in a TOML text a key is written. A line reader, not a parser: it is asked only about texts the parser
 * has accepted, and answers null rather than a line it is not sure of.
 */

type Path = readonly PropertyKey[];

interface KeyLine {
  readonly line: number;
  readonly path: Path;
}

const keyPart = /\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*(\.)?/y;

/** `a."b c".d` at `start` as its parts, and where they end; null where no key begins there. */
const readKey = (line: string, start: number): { readonly keys: string[]; readonly end: number } | null => {
  const keys: string[] = [];
  keyPart.lastIndex = start;
  for (;;) {
    const match = keyPart.exec(line);
    if (match === null) return null;
    keys.push(match[1] ?? match[2] ?? match[3] ?? '');
    if (match[4] === undefined) return { keys, end: keyPart.lastIndex };
  }
};

/** A header's path with the index of the current element put after every array of tables on the way. */
const withIndices = (keys: readonly string[], counts: ReadonlyMap<string, number>): PropertyKey[] =>
  keys.flatMap((key, i) => {
    const count = counts.get(keys.slice(0, i + 1).join('\0'));
    return count === undefined ? [key] : [key, count - 1];
  });

const openString = (line: string): string | null => {
  for (const quote of ['"""', "'''"]) if (line.split(quote).length % 2 === 0) return quote;
  return null;
};

const keyLines = (text: string): readonly KeyLine[] => {
  const found: KeyLine[] = [];
  const counts = new Map<string, number>();
  let table: readonly PropertyKey[] = [];
  let until: string | null = null;
  for (const [i, line] of text.split('\n').entries()) {
    if (until !== null) {
      if (line.includes(until)) until = null;
      continue;
    }
    const header = /^\s*(\[\[?)/.exec(line)?.[1];
    if (header !== undefined) {
      const key = readKey(line, line.indexOf(header) + header.length);
      if (key === null || line[key.end] !== ']') continue;
      const name = key.keys.join('\0');
      if (header === '[[') counts.set(name, (counts.get(name) ?? 0) + 1);
      table = withIndices(key.keys, counts);
      found.push({ line: i + 1, path: table });
      continue;
    }
    const key = readKey(line, 0);
    if (key === null || line[key.end] !== '=') continue;
    found.push({ line: i + 1, path: [...table, ...key.keys] });
    until = openString(line);
  }
  return found;
};

const startsWith = (path: Path, prefix: Path): boolean => prefix.every((key, i) => path[i] === key);

/** The line (from 1) that writes the value at `path`, or the nearest table around it; null if none does. */
export const lineOf = (text: string, path: Path): number | null => {
  const lines = keyLines(text);
  for (let length = path.length; length > 0; length -= 1) {
    const prefix = path.slice(0, length);
    const hit = lines.find((line) => startsWith(line.path, prefix));
    if (hit !== undefined) return hit.line;
  }
  return null;
};
