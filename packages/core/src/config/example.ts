/**
 * The example file of a schema: every key with its description, at its default. Keys without a default stand
 * there commented out, so the example as it is means "all defaults" and each line can be taken as it is.
 */
import type { z } from 'zod';
import { globalRegistry } from 'zod';
import { arrayTable, tableShape } from './schema-walk.ts';

type Schema = z.core.$ZodType;

const widthMax = 110;

const wrap = (text: string): string[] => {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < widthMax) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.map((line) => `# ${line}`);
};

/** Description and examples stand on the outermost schema that has them. */
const metaOf = (schema: Schema): { readonly description?: string; readonly example?: unknown } => {
  const meta = globalRegistry.get(schema);
  const description = meta?.description;
  const examples = meta?.['examples'];
  const example: unknown = Array.isArray(examples) ? examples[0] : undefined;
  return { ...(description === undefined ? {} : { description }), ...(example === undefined ? {} : { example }) };
};

const defaultOf = (schema: Schema): unknown => {
  const { def } = schema._zod;
  return 'defaultValue' in def ? def.defaultValue : undefined;
};

/** JSON's strings, numbers, booleans and arrays of them are TOML too. */
const tomlText = (value: unknown): string =>
  Array.isArray(value) ? `[${value.map(tomlText).join(', ')}]` : JSON.stringify(value);

const keyLines = (key: string, schema: Schema): readonly string[] => {
  const { description, example } = metaOf(schema);
  const fallback = defaultOf(schema);
  const line = fallback === undefined ? `# ${key} = ${tomlText(example ?? '')}` : `${key} = ${tomlText(fallback)}`;
  return [...(description === undefined ? [] : wrap(description)), line, ''];
};

const tableLines = (path: readonly string[], schema: Schema): readonly string[] => {
  const element = arrayTable(schema);
  const shape = tableShape(element ?? schema);
  if (shape === null) return [];
  const { description } = metaOf(schema);
  const entries = Object.entries(shape);
  const isTable = (child: Schema): boolean => tableShape(child) !== null || arrayTable(child) !== null;
  const values = entries.filter(([, child]) => !isTable(child)).flatMap(([key, child]) => keyLines(key, child));
  const tables = entries.filter(([, child]) => isTable(child));
  const name = path.join('.');
  const header = path.length === 0 || values.length === 0 ? [] : [element === null ? `[${name}]` : `[[${name}]]`];
  const about = description === undefined || header.length === 0 ? [] : wrap(description);
  const body = [...header, ...values];
  return [
    ...about,
    // Tables of a list have no default: one stands there as a comment.
    ...(element === null ? body : body.map((line) => (line === '' || line.startsWith('#') ? line : `# ${line}`))),
    ...tables.flatMap(([key, child]) => tableLines([...path, key], child)),
  ];
};

/** The example file's text. It parses to the same config as an empty file. */
export const exampleToml = (schema: Schema, title: string): string =>
  [...wrap(title), '', ...tableLines([], schema)].join('\n').replace(/\n+$/, '\n');

/** The same with every commented-out key and table written out: also this must parse. */
export const exampleWithEverything = (schema: Schema): string =>
  exampleToml(schema, '').replaceAll(/^# (?=\[\[?[\w.]+\]|\w+ = )/gm, '');
