/** A JSON Schema validator for the keywords the sampler supports: written for clarity, against the standard. */
import type { JsonSchema } from '../../src/sampling/grammar/spec.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
type Keywords = Readonly<Record<string, unknown>>;

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const isRecord = (value: unknown): value is { readonly [name: string]: Json } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function hasType(value: Json, type: unknown): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isRecord(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

function resolve(root: JsonSchema, reference: string): JsonSchema {
  let at: unknown = root;
  for (const token of reference.split('/').slice(1))
    at = (at as Keywords)[token.replaceAll('~1', '/').replaceAll('~0', '~')];
  return at as JsonSchema;
}

/** Whether the value satisfies the schema; `root` is where references point. */
export function isValid(value: Json, schema: JsonSchema, root: JsonSchema = schema): boolean {
  if (typeof schema === 'boolean') return schema;
  const list = (keyword: string): JsonSchema[] => (schema[keyword] as JsonSchema[] | undefined) ?? [];
  const number = (keyword: string): number | undefined => schema[keyword] as number | undefined;
  const fits = (inner: JsonSchema): boolean => isValid(value, inner, root);

  if (typeof schema['$ref'] === 'string' && !fits(resolve(root, schema['$ref']))) return false;
  if (schema['type'] !== undefined && ![schema['type']].flat().some((type) => hasType(value, type))) return false;
  if ('const' in schema && !same(value, schema['const'])) return false;
  if (schema['enum'] !== undefined && !list('enum').some((listed) => same(value, listed))) return false;
  if (!list('allOf').every(fits)) return false;
  if (schema['anyOf'] !== undefined && !list('anyOf').some(fits)) return false;
  if (schema['oneOf'] !== undefined && !list('oneOf').some(fits)) return false;

  if (typeof value === 'number') {
    if (value < (number('minimum') ?? -Infinity) || value > (number('maximum') ?? Infinity)) return false;
    if (value <= (number('exclusiveMinimum') ?? -Infinity) || value >= (number('exclusiveMaximum') ?? Infinity))
      return false;
  }
  if (typeof value === 'string') {
    const length = Array.from(value).length;
    if (length < (number('minLength') ?? 0) || length > (number('maxLength') ?? Infinity)) return false;
    if (typeof schema['pattern'] === 'string' && !new RegExp(schema['pattern'], 'u').test(value)) return false;
  }
  if (Array.isArray(value)) return validItems(value, schema, root);
  return isRecord(value) ? validMembers(value, schema, root) : true;
}

function validItems(items: readonly Json[], schema: Keywords, root: JsonSchema): boolean {
  const { minItems = 0, maxItems = Infinity } = schema as { minItems?: number; maxItems?: number };
  if (items.length < minItems || items.length > maxItems) return false;
  const prefix = (schema['prefixItems'] as JsonSchema[] | undefined) ?? [];
  const rest = (schema['items'] as JsonSchema | undefined) ?? true;
  return items.every((item, index) => isValid(item, prefix[index] ?? rest, root));
}

function validMembers(members: { readonly [name: string]: Json }, schema: Keywords, root: JsonSchema): boolean {
  const properties = (schema['properties'] as Record<string, JsonSchema> | undefined) ?? {};
  const required = (schema['required'] as string[] | undefined) ?? [];
  const additional = (schema['additionalProperties'] as JsonSchema | undefined) ?? true;
  const names = (schema['propertyNames'] as JsonSchema | undefined) ?? true;
  const { minProperties = 0, maxProperties = Infinity } = schema as { minProperties?: number; maxProperties?: number };
  const nMembers = Object.keys(members).length;
  if (nMembers < minProperties || nMembers > maxProperties) return false;
  if (!required.every((name) => Object.hasOwn(members, name))) return false;
  return Object.entries(members).every(
    ([name, member]) =>
      isValid(name, names, root) &&
      isValid(member, Object.hasOwn(properties, name) ? (properties[name] ?? true) : additional, root),
  );
}
