/**
 * All that a conjunction of subschemas says about one value, gathered through `$ref` and `allOf`. A keyword that
 * constrains but cannot be enforced is refused by name; one that JSON Schema does not know is a remark and ignored.
 */
import { invalidSchema, unsupported, type CompileBudget } from './compile-error.ts';
import { escapeToken, isObject, type SchemaDocument, type Subschema } from './schema-document.ts';
import type { Bound } from './number-grammar.ts';
import { remarkFormats } from './string-formats.ts';
import { checkFormat } from './string-grammar.ts';

export const jsonTypes = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const;
export type JsonType = (typeof jsonTypes)[number];

/** What one subschema says about an object's members. */
export interface ObjectShape {
  readonly properties: ReadonlyMap<string, Subschema>;
  /** Schema of members not listed; null: not said. */
  readonly additional: Subschema | null;
}
/** What one subschema says about an array's items. */
export interface ArrayShape {
  readonly prefix: readonly Subschema[];
  readonly items: Subschema | null;
}

export interface Facts {
  readonly path: string;
  types: ReadonlySet<JsonType> | null;
  /** From `enum` and `const`; null: not said. */
  values: readonly unknown[] | null;
  /** False schema: nothing satisfies it. */
  impossible: boolean;
  readonly objects: ObjectShape[];
  readonly required: Set<string>;
  readonly propertyNames: Subschema[];
  minProperties: number;
  maxProperties: number | null;
  readonly arrays: ArrayShape[];
  minItems: number;
  maxItems: number | null;
  readonly patterns: string[];
  readonly formats: string[];
  minLength: number;
  maxLength: number | null;
  minimum: Bound | null;
  maximum: Bound | null;
  /** Each is an `anyOf` or `oneOf`: one of its options must hold too. */
  readonly choices: (readonly Subschema[])[];
  /** Whether anything but `choices` was said. */
  constrained: boolean;
}

const emptyFacts = (path: string): Facts => ({
  path,
  types: null,
  values: null,
  impossible: false,
  objects: [],
  required: new Set(),
  propertyNames: [],
  minProperties: 0,
  maxProperties: null,
  arrays: [],
  minItems: 0,
  maxItems: null,
  patterns: [],
  formats: [],
  minLength: 0,
  maxLength: null,
  minimum: null,
  maximum: null,
  choices: [],
  constrained: false,
});

/** Keywords that constrain and that nothing here can enforce. */
const refused: ReadonlyMap<string, string> = new Map([
  ['not', 'negation'],
  ['if', 'conditions'],
  ['then', 'conditions'],
  ['else', 'conditions'],
  ['dependentRequired', 'dependencies between members'],
  ['dependentSchemas', 'dependencies between members'],
  ['dependencies', 'dependencies between members'],
  ['patternProperties', 'member names by pattern'],
  ['unevaluatedProperties', 'use additionalProperties'],
  ['unevaluatedItems', 'use items'],
  ['contains', 'searching an array'],
  ['minContains', 'searching an array'],
  ['maxContains', 'searching an array'],
  ['$dynamicRef', 'use $ref'],
  ['$recursiveRef', 'use $ref'],
]);

interface Reader {
  readonly facts: Facts;
  readonly document: SchemaDocument;
  readonly budget: CompileBudget;
  /** Schemas being read through `$ref` and `allOf`: meeting one again is a definition of itself. */
  readonly open: Set<number>;
  /** Options taken, by the id of the first option of their choice. */
  readonly taken: ReadonlyMap<number, Subschema>;
}

/** What all of `conjunction` says, choices left open. */
export const gatherFacts = (
  conjunction: readonly Subschema[],
  document: SchemaDocument,
  budget: CompileBudget,
): Facts => gather(conjunction, document, budget, new Map());

/** The same with every choice made, in every way: a value satisfies the conjunction when it satisfies one of these. */
export function alternatives(
  conjunction: readonly Subschema[],
  document: SchemaDocument,
  budget: CompileBudget,
  taken: ReadonlyMap<number, Subschema> = new Map(),
): Facts[] {
  const facts = gather(conjunction, document, budget, taken);
  const [open] = facts.choices;
  const key = open?.[0]?.id;
  if (open === undefined || key === undefined) return [facts];
  return open.flatMap((option) => alternatives(conjunction, document, budget, new Map([...taken, [key, option]])));
}

function gather(
  conjunction: readonly Subschema[],
  document: SchemaDocument,
  budget: CompileBudget,
  taken: ReadonlyMap<number, Subschema>,
): Facts {
  const facts = emptyFacts(conjunction[0]?.path ?? '#');
  for (const subschema of conjunction) read(subschema, { facts, document, budget, open: new Set(), taken });
  return facts;
}

function read(subschema: Subschema, reader: Reader): void {
  const { facts, open } = reader;
  const { id, schema, path } = subschema;
  if (open.has(id)) throw invalidSchema(path, 'it is defined by itself');
  if (schema === true) return;
  if (schema === false) {
    facts.impossible = true;
    facts.constrained = true;
    return;
  }
  open.add(id);
  reader.budget.spend(1 + Object.keys(schema).length);
  let [nObjectsRead, nArraysRead] = [0, 0];
  for (const [keyword, value] of Object.entries(schema)) {
    const why = refused.get(keyword);
    if (why !== undefined) throw unsupported(keyword, path, why);
    // Read where the first of them stands: the order of members is the order of the schema.
    if (objectKeywords.has(keyword) && nObjectsRead++ === 0) readObjectShape(schema, path, reader);
    if (arrayKeywords.has(keyword) && nArraysRead++ === 0) readArrayShape(schema, path, reader);
    const readKeyword = keywords.get(keyword);
    if (readKeyword === undefined) continue;
    readKeyword(value, `${path}/${escapeToken(keyword)}`, reader);
    if (!combining.has(keyword)) facts.constrained = true;
  }
  open.delete(id);
}

const combining: ReadonlySet<string> = new Set(['$ref', 'allOf', 'anyOf', 'oneOf']);

function subschemas(value: unknown, path: string, { document }: Reader): Subschema[] {
  if (!Array.isArray(value) || value.length === 0) throw invalidSchema(path, 'it must be a non-empty array');
  return value.map((item: unknown, index) => document.at(item, `${path}/${index}`));
}

/** Keywords that only make sense beside each other: what is listed, and what is not. */
const objectKeywords: ReadonlySet<string> = new Set(['properties', 'additionalProperties']);
const arrayKeywords: ReadonlySet<string> = new Set(['items', 'prefixItems', 'additionalItems']);

type Keywords = Readonly<Record<string, unknown>>;

const subschemaOf = (schema: Keywords, keyword: string, path: string, { document }: Reader): Subschema | null =>
  schema[keyword] === undefined ? null : document.at(schema[keyword], `${path}/${keyword}`);

function readObjectShape(schema: Keywords, path: string, reader: Reader): void {
  const { properties = {} } = schema;
  if (!isObject(properties)) throw invalidSchema(`${path}/properties`, 'it must be an object');
  const listed = Object.entries(properties).map(
    ([name, value]) => [name, reader.document.at(value, `${path}/properties/${escapeToken(name)}`)] as const,
  );
  const additional = subschemaOf(schema, 'additionalProperties', path, reader);
  reader.facts.objects.push({ properties: new Map(listed), additional });
  reader.facts.constrained = true;
}

function readArrayShape(schema: Keywords, path: string, reader: Reader): void {
  // Before 2020-12 a tuple was an `items` array, and `additionalItems` its rest.
  const legacy = Array.isArray(schema['items']);
  const prefixKeyword = legacy ? 'items' : 'prefixItems';
  const prefix = schema[prefixKeyword];
  reader.facts.arrays.push({
    prefix: prefix === undefined ? [] : subschemas(prefix, `${path}/${prefixKeyword}`, reader),
    items: subschemaOf(schema, legacy ? 'additionalItems' : 'items', path, reader),
  });
  reader.facts.constrained = true;
}

type ReadKeyword = (value: unknown, path: string, reader: Reader) => void;

function count(value: unknown, path: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) {
    throw invalidSchema(path, 'it must be a whole number, zero or more');
  }
  if (value > countMax) throw invalidSchema(path, `it must be at most ${countMax}`);
  return value;
}
/** Largest length or number of items counted. */
const countMax = 0x3fff_ffff;

function finite(value: unknown, path: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw invalidSchema(path, 'it must be a number');
  return value;
}

function string(value: unknown, path: string): string {
  if (typeof value !== 'string') throw invalidSchema(path, 'it must be a string');
  return value;
}

const atLeast =
  (key: 'minItems' | 'minLength' | 'minProperties'): ReadKeyword =>
  (value, path, { facts }) => {
    facts[key] = Math.max(facts[key], count(value, path));
  };

const atMost =
  (key: 'maxItems' | 'maxLength' | 'maxProperties'): ReadKeyword =>
  (value, path, { facts }) => {
    facts[key] = Math.min(facts[key] ?? Infinity, count(value, path));
  };

function tighter(bound: Bound | null, value: number, exclusive: boolean, sign: 1 | -1): Bound {
  const distance = bound === null ? 1 : sign * (value - bound.value);
  if (bound !== null && (distance < 0 || (distance === 0 && bound.exclusive))) return bound;
  return { value, exclusive };
}

const limit =
  (key: 'minimum' | 'maximum', exclusive: boolean): ReadKeyword =>
  (value, path, { facts }) => {
    // Draft 4 wrote `exclusiveMinimum: true` beside `minimum`.
    if (exclusive && value === false) return;
    if (exclusive && value === true) throw unsupported(path.split('/').at(-1) ?? key, path, 'give the bound itself');
    facts[key] = tighter(facts[key], finite(value, path), exclusive, key === 'minimum' ? 1 : -1);
  };

function intersectTypes(a: ReadonlySet<JsonType> | null, b: ReadonlySet<JsonType>): ReadonlySet<JsonType> {
  if (a === null) return b;
  const both = new Set([...a].filter((type) => b.has(type) || (type === 'integer' && b.has('number'))));
  if (b.has('integer') && a.has('number')) both.add('integer');
  return both;
}

function readType(value: unknown, path: string, { facts }: Reader): void {
  const names: readonly unknown[] = Array.isArray(value) ? value : [value];
  const types = names.map((name) => {
    const type = jsonTypes.find((known) => known === name);
    if (type === undefined) throw invalidSchema(path, `${JSON.stringify(name)} is not a JSON type`);
    return type;
  });
  facts.types = intersectTypes(facts.types, new Set(types));
}

function readValues(values: readonly unknown[], { facts }: Reader): void {
  const allowed = new Set(values.map((value) => JSON.stringify(value)));
  facts.values = facts.values === null ? values : facts.values.filter((value) => allowed.has(JSON.stringify(value)));
}

function readChoice(value: unknown, path: string, reader: Reader): void {
  const options = subschemas(value, path, reader);
  const option = reader.taken.get(options[0]?.id ?? -1);
  if (option === undefined) reader.facts.choices.push(options);
  else read(option, reader);
}

const keywords: ReadonlyMap<string, ReadKeyword> = new Map<string, ReadKeyword>([
  ['$ref', (value, path, reader) => read(reader.document.resolve(string(value, path), path), reader)],
  ['allOf', (value, path, reader) => subschemas(value, path, reader).forEach((item) => read(item, reader))],
  ['anyOf', readChoice],
  ['oneOf', readChoice],
  ['type', readType],
  ['const', (value, _, reader) => readValues([value], reader)],
  [
    'enum',
    (value, path, reader) => {
      if (!Array.isArray(value) || value.length === 0) throw invalidSchema(path, 'it must be a non-empty array');
      readValues(value, reader);
    },
  ],
  [
    'required',
    (value, path, { facts }) => {
      if (!Array.isArray(value)) throw invalidSchema(path, 'it must be an array of names');
      for (const name of value) facts.required.add(string(name, path));
    },
  ],
  ['propertyNames', (value, path, { facts, document }) => void facts.propertyNames.push(document.at(value, path))],
  ['minProperties', atLeast('minProperties')],
  ['maxProperties', atMost('maxProperties')],
  ['minItems', atLeast('minItems')],
  ['maxItems', atMost('maxItems')],
  ['minLength', atLeast('minLength')],
  ['maxLength', atMost('maxLength')],
  ['minimum', limit('minimum', false)],
  ['maximum', limit('maximum', false)],
  ['exclusiveMinimum', limit('minimum', true)],
  ['exclusiveMaximum', limit('maximum', true)],
  ['pattern', (value, path, { facts }) => void facts.patterns.push(string(value, path))],
  [
    'format',
    (value, path, { facts }) => {
      const name = string(value, path);
      if (remarkFormats.has(name)) return;
      checkFormat(name, path);
      facts.formats.push(name);
    },
  ],
  [
    'uniqueItems',
    (value, path) => {
      if (value === true) throw unsupported('uniqueItems', path, 'items cannot be compared');
    },
  ],
  [
    'multipleOf',
    (value, path, { facts }) => {
      if (value !== 1) throw unsupported('multipleOf', path, 'only multiples of 1');
      facts.types = intersectTypes(facts.types, new Set(jsonTypes.filter((type) => type !== 'number')));
    },
  ],
]);
