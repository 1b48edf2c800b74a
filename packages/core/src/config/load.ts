/**
 * TOML text, environment and flags through one schema into a typed config. Every problem is reported at once,
 * as `file:line: key: what is wrong`, in words a person can act on.
 */
import { readFile } from 'node:fs/promises';
import { parse as parseToml, TomlError } from 'smol-toml';
import { z } from 'zod';
import { describeIssue } from '../parse.ts';
import { ConfigError } from './config-error.ts';
import { nearestKey } from './nearest-key.ts';
import { environmentOverrides, withOverride, type EnvironmentOptions, type Override } from './overrides.ts';
import { keyPaths, schemaAt, tableShape } from './schema-walk.ts';
import { lineOf } from './toml-lines.ts';

export interface ConfigSource {
  /** The file's name as a person knows it; used in messages only. */
  readonly file: string;
  readonly text: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Needed with `env`: which variables are ours. */
  readonly environment?: EnvironmentOptions;
  /** Command-line flags; they stand over the environment. */
  readonly flags?: readonly Override[];
}

const readToml = (source: ConfigSource): unknown => {
  try {
    return parseToml(source.text, { unsafeKeyBehaviour: 'throw' });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const what = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? 'not TOML';
    throw new ConfigError([`${source.file}:${error.line}:${error.column}: ${what}`]);
  }
};

const startsWith = (path: readonly PropertyKey[], prefix: readonly string[]): boolean =>
  prefix.every((key, i) => path[i] === key);

const dotted = (path: readonly PropertyKey[]): string =>
  path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i === 0 ? '' : '.'}${String(key)}`)).join('');

/** `port` is a top-level key that was written in a table, `prot` is a slip: both get what was probably meant. */
const unknownKey = (schema: z.ZodType, table: readonly PropertyKey[], key: string): string => {
  const at = schemaAt(schema, table);
  const siblings = Object.keys((at === null ? null : tableShape(at)) ?? {});
  const near = nearestKey(key, siblings);
  if (near !== null) return `unknown key; did you mean ${near}?`;
  const elsewhere = keyPaths(schema).find((path) => path.at(-1) === key);
  if (elsewhere !== undefined) return `unknown key here; it belongs at ${elsewhere.join('.')}`;
  return siblings.length === 0 ? 'unknown key' : `unknown key; known here: ${siblings.join(', ')}`;
};

const problemsOf = (
  schema: z.ZodType,
  error: z.ZodError,
  source: ConfigSource,
  overrides: readonly Override[],
): readonly string[] => {
  const place = (path: readonly PropertyKey[]): string => {
    const override = overrides.findLast((one) => startsWith(path, one.path));
    if (override !== undefined) return override.name;
    const line = lineOf(source.text, path);
    return line === null ? source.file : `${source.file}:${line}`;
  };
  return error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => {
        const path = [...issue.path, key];
        return `${place(path)}: ${dotted(path)}: ${unknownKey(schema, issue.path, key)}`;
      });
    }
    const { message } = describeIssue(new z.ZodError([issue]));
    return [`${place(issue.path)}: ${message}`];
  });
};

/** @throws ConfigError with every problem found. */
export const parseConfig = <S extends z.ZodType>(schema: S, source: ConfigSource): z.output<S> => {
  const environment =
    source.env === undefined || source.environment === undefined
      ? { overrides: [], problems: [] }
      : environmentOverrides(schema, source.env, source.environment);
  const overrides = [...environment.overrides, ...(source.flags ?? [])];
  const document = overrides.reduce<unknown>((all, one) => withOverride(all, one.path, one.value), readToml(source));
  const result = schema.safeParse(document);
  const problems = result.success ? [] : problemsOf(schema, result.error, source, overrides);
  if (!result.success || environment.problems.length > 0) throw new ConfigError([...environment.problems, ...problems]);
  return result.data;
};

export type ConfigFileSource = Omit<ConfigSource, 'text'>;

/** Reads the file, then as `parseConfig`. @throws ConfigError also when there is no such file. */
export const loadConfig = async <S extends z.ZodType>(schema: S, source: ConfigFileSource): Promise<z.output<S>> => {
  let text: string;
  try {
    text = await readFile(source.file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    const why = code === 'ENOENT' ? 'no such file' : `cannot be read (${code})`;
    throw new ConfigError([`${source.file}: ${why}`]);
  }
  return parseConfig(schema, { ...source, text });
};

/** JSON Schema of what may be written in the file, for editors. */
export const configJsonSchema = (schema: z.ZodType): unknown => z.toJSONSchema(schema, { io: 'input' });
