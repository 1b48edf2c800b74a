/** Reads the shape of a config schema: which keys a table has, what type a key is, what it says of itself. */
import type { z } from 'zod';

/** Any schema as zod's closed union of kinds, so that a `switch` on `_zod.def.type` narrows. */
export type ConfigSchema = z.core.$ZodTypes;
type Schema = z.core.$ZodType;

const asKnown = (schema: Schema): ConfigSchema => schema as ConfigSchema;

/** The schema under its defaults, optionals and transforms: what a value in the file must look like. */
export const innermost = (schema: Schema): ConfigSchema => {
  const known = asKnown(schema);
  const { def } = known._zod;
  if ('innerType' in def) return innermost(def.innerType);
  return def.type === 'pipe' ? innermost(def.in) : known;
};

/** The keys of a table, or null where the schema is not a table of fixed keys. */
export const tableShape = (schema: Schema): Readonly<Record<string, Schema>> | null => {
  const { def } = innermost(schema)._zod;
  return def.type === 'object' ? def.shape : null;
};

/** The schema of the tables of `[[key]]`, or null. */
export const arrayTable = (schema: Schema): Schema | null => {
  const { def } = innermost(schema)._zod;
  if (def.type !== 'array') return null;
  return tableShape(def.element) === null ? null : def.element;
};

/** What lies at a path of keys and indices; null where the schema knows no such place. */
export const schemaAt = (schema: Schema, path: readonly PropertyKey[]): Schema | null => {
  const [key, ...rest] = path;
  if (key === undefined) return schema;
  const { def } = innermost(schema)._zod;
  if (def.type === 'array') return schemaAt(def.element, rest);
  if (def.type === 'record') return schemaAt(def.valueType, rest);
  if (def.type !== 'object' || !Object.hasOwn(def.shape, key)) return null;
  const child = def.shape[String(key)];
  return child === undefined ? null : schemaAt(child, rest);
};

/** Every key of the schema as a dotted path, tables before their contents. */
export const keyPaths = (schema: Schema): readonly (readonly string[])[] => {
  const paths: string[][] = [];
  const visit = (table: Schema, prefix: readonly string[]): void => {
    for (const [key, child] of Object.entries(tableShape(table) ?? {})) {
      const path = [...prefix, key];
      paths.push(path);
      visit(arrayTable(child) ?? child, path);
    }
  };
  visit(schema, []);
  return paths;
};
