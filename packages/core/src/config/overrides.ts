/**
 * Values that stand over the file: environment variables (`NEURON_PORT`, `CORTEX_GATEWAY__LISTEN`) and command-line
 * flags. The schema says what type each text becomes, so `NEURON_TOKEN=123` stays a string.
 */
import { parse as parseToml } from 'smol-toml';
import { z } from 'zod';
import { nearestKey } from './nearest-key.ts';
import { innermost, keyPaths, schemaAt, tableShape } from './schema-walk.ts';

type Schema = z.core.$ZodType;

export interface Override {
  /** How a person wrote it: `NEURON_PORT`, `--port`. */
  readonly name: string;
  readonly path: readonly string[];
  readonly value: unknown;
}

const numberText = /^[+-]?\d[\d_]*(\.\d+)?([eE][+-]?\d+)?$/;

/** Arrays and tables are written as in the file: `["a", "b"]`, `{ id = "x" }`. */
const tomlValue = (text: string): unknown => {
  try {
    return parseToml(`value = ${text}`, { unsafeKeyBehaviour: 'throw' })['value'];
  } catch {
    return text;
  }
};

/** The text as the schema's type; text that is not of that type stays text, for the schema to refuse. */
const valueFromText = (schema: Schema, text: string): unknown => {
  const { def } = innermost(schema)._zod;
  if (def.type === 'number') return numberText.test(text) ? Number(text.replaceAll('_', '')) : text;
  if (def.type === 'boolean') {
    if (text === 'true' || text === '1') return true;
    return text === 'false' || text === '0' ? false : text;
  }
  if (def.type === 'array') {
    if (text.trimStart().startsWith('[')) return tomlValue(text);
    return text.split(',').map((item) => valueFromText(def.element, item.trim()));
  }
  if (def.type === 'object' || def.type === 'record') return tomlValue(text);
  if (def.type === 'union') {
    const values = def.options.map((option) => valueFromText(option, text));
    return values.find((value, i) => z.safeParse(def.options[i] ?? z.never(), value).success) ?? text;
  }
  return text;
};

/** Kubernetes sets these for a service called `cortex` or `neuron`; they are nobody's configuration. */
const isServiceLink = (rest: string, text: string): boolean =>
  /^(SERVICE_(HOST|PORT)(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)$/.test(rest) || /^(tcp|udp):\/\//.test(text);

const keysFor = (schema: Schema, rest: string): readonly string[] | null => {
  const path: string[] = [];
  for (const part of rest.split('__')) {
    const at = schemaAt(schema, path);
    const shape = at === null ? null : tableShape(at);
    const lower = part.toLowerCase();
    const key = shape === null ? lower : Object.keys(shape).find((name) => name.toLowerCase() === lower);
    if (key === undefined) return null;
    path.push(key);
  }
  return schemaAt(schema, path) === null ? null : path;
};

export interface EnvironmentOptions {
  /** `NEURON` for `NEURON_PORT`. */
  readonly prefix: string;
  /** Full names with the same prefix that other parts of the program read. */
  readonly reserved?: readonly string[];
}

/** Empty variables count as unset. Unknown ones with the prefix are problems, as unknown keys in the file are. */
export const environmentOverrides = (
  schema: Schema,
  env: Readonly<Record<string, string | undefined>>,
  options: EnvironmentOptions,
): { readonly overrides: readonly Override[]; readonly problems: readonly string[] } => {
  const overrides: Override[] = [];
  const problems: string[] = [];
  const start = `${options.prefix}_`;
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(start) || text === undefined || text === '' || options.reserved?.includes(name)) continue;
    const rest = name.slice(start.length);
    if (isServiceLink(rest, text)) continue;
    const path = keysFor(schema, rest);
    const at = path === null ? null : schemaAt(schema, path);
    if (path === null || at === null) {
      const known = keyPaths(schema).map((keys) => start + keys.join('__').toUpperCase());
      const near = nearestKey(name, known);
      problems.push(`${name}: unknown setting${near === null ? '' : `; did you mean ${near}?`}`);
      continue;
    }
    overrides.push({ name, path, value: valueFromText(at, text) });
  }
  return { overrides, problems };
};

const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A copy of `document` with the value set; tables on the way are made, and anything else there is replaced. */
export const withOverride = (document: unknown, path: readonly string[], value: unknown): unknown => {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const table = isTable(document) ? document : {};
  return { ...table, [key]: withOverride(table[key], rest, value) };
};
