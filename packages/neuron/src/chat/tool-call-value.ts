/**
 * The text of one tool parameter, as the XML call format carries it, converted to JSON by the tool's JSON schema.
 * Never fails: a text that does not fit its type stays a string, and the tool's owner decides.
 */
import { jsonNumber, strictJsonOf } from './tool-call-relaxed-json.ts';

type Schema = Readonly<Record<string, unknown>>;

/** The types of JSON schema, and `any` for a schema that does not say. */
type ValueType = 'string' | 'integer' | 'number' | 'boolean' | 'object' | 'array' | 'null' | 'any';

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const own = (schema: Schema, key: string): unknown => (Object.hasOwn(schema, key) ? schema[key] : undefined);

/** References may form a cycle. */
const DEPTH_MAX = 8;

const TYPE_NAMES: ReadonlySet<unknown> = new Set([
  'string',
  'integer',
  'number',
  'boolean',
  'object',
  'array',
  'null',
] satisfies ValueType[]);
const isTypeName = (value: unknown): value is ValueType => TYPE_NAMES.has(value);

/** `#/$defs/Name` within the tool's own schema; other references are unknown. */
const resolve = (reference: unknown, root: Schema): unknown => {
  if (typeof reference !== 'string' || !reference.startsWith('#/')) return undefined;
  let place: unknown = root;
  for (const part of reference.slice(2).split('/')) {
    place = isSchema(place) ? own(place, part.replaceAll('~1', '/').replaceAll('~0', '~')) : undefined;
  }
  return place;
};

const typeOfValue = (value: unknown): ValueType => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  const type = typeof value;
  return type === 'string' || type === 'number' || type === 'boolean' || type === 'object' ? type : 'any';
};

/** Every type the schema names, in its order: the first that is not null decides. */
const typesOf = (schema: unknown, root: Schema, depth = 0): readonly ValueType[] => {
  if (!isSchema(schema) || depth > DEPTH_MAX) return [];
  const type = own(schema, 'type');
  if (isTypeName(type)) return [type];
  if (Array.isArray(type)) return type.filter(isTypeName);
  const referred = resolve(own(schema, '$ref'), root);
  if (referred !== undefined) return typesOf(referred, root, depth + 1);
  for (const key of ['anyOf', 'oneOf', 'allOf']) {
    const branches = own(schema, key);
    if (Array.isArray(branches)) return branches.flatMap((branch) => typesOf(branch, root, depth + 1));
  }
  const values = own(schema, 'enum');
  if (Array.isArray(values)) return values.map(typeOfValue);
  if (Object.hasOwn(schema, 'const')) return [typeOfValue(schema['const'])];
  if (Object.hasOwn(schema, 'properties')) return ['object'];
  return Object.hasOwn(schema, 'items') ? ['array'] : [];
};

const parses = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

/** JSON text, Python literals included; null for anything else. */
const structured = (text: string): string | null => (parses(text) ? text : strictJsonOf(text));

const numeric = (text: string): string | null => {
  const strict = jsonNumber(text);
  if (strict !== null) return strict;
  const value = text === '' ? Number.NaN : Number(text);
  return Number.isFinite(value) ? JSON.stringify(value) : null;
};

/** `5.0` is an integer to JSON schema; written as one, for readers that are stricter. */
const integer = (text: string): string | null => numeric(text)?.replace(/^(-?\d+)\.0+$/, '$1') ?? null;

const boolean = (text: string): string | null => {
  const lower = text.toLowerCase();
  return lower === 'true' || lower === 'false' ? lower : null;
};

const convert = (text: string, type: ValueType): string | null => {
  switch (type) {
    case 'string':
    case 'null':
      return null;
    case 'integer':
      return integer(text);
    case 'number':
      return numeric(text);
    case 'boolean':
      return boolean(text);
    case 'object':
    case 'array':
    case 'any':
      break;
  }
  return structured(text);
};

/** The schema of one parameter: declared, or what `additionalProperties` says of all others. */
const schemaOf = (name: string, parameters: Schema): unknown => {
  const properties = own(parameters, 'properties');
  if (isSchema(properties) && Object.hasOwn(properties, name)) return properties[name];
  return own(parameters, 'additionalProperties');
};

/** True when the tool's schema declares a parameter of this name. */
export const declaresParameter = (name: string, parameters: Schema): boolean => {
  const properties = own(parameters, 'properties');
  return isSchema(properties) && Object.hasOwn(properties, name);
};

/**
 * @param raw the text between the tags, their newlines already removed.
 * @param parameters the tool's `parameters` schema; `{}` when there is none.
 * @returns JSON text. Numbers keep their digits, however many they are.
 */
export const parameterJson = (raw: string, name: string, parameters: Schema): string => {
  const types = typesOf(schemaOf(name, parameters), parameters);
  const type = types.find((one) => one !== 'null') ?? types[0] ?? 'any';
  const text = raw.trim();
  const mayBeNull = type !== 'string' || types.includes('null');
  if (mayBeNull && text.toLowerCase() === 'null') return 'null';
  return convert(text, type) ?? JSON.stringify(raw);
};
