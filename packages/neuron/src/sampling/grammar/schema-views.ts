/** What gathered facts mean for a value's type, an object's members, an array's items, and a listed value. */
import { unsupported, type CompileBudget } from './compile-error.ts';
import type { Subschema } from './schema-document.ts';
import type { Facts, JsonType } from './schema-facts.ts';
import { regexAutomaton } from './regex-automaton.ts';
import { stringFormats } from './string-formats.ts';
import { automatonAccepts, type TextAutomaton } from './text-automaton.ts';

const saysObject = (facts: Facts): boolean =>
  facts.objects.length + facts.required.size + facts.propertyNames.length > 0 ||
  facts.minProperties > 0 ||
  facts.maxProperties !== null;
const saysArray = (facts: Facts): boolean => facts.arrays.length > 0 || facts.minItems > 0 || facts.maxItems !== null;
const saysString = (facts: Facts): boolean =>
  facts.patterns.length + facts.formats.length > 0 || facts.minLength > 0 || facts.maxLength !== null;
const saysNumber = (facts: Facts): boolean => facts.minimum !== null || facts.maximum !== null;

/** The types to generate; without `type`, those the other keywords are about. Null: any. */
export function possibleTypes(facts: Facts): readonly JsonType[] | null {
  if (facts.types !== null) {
    return [...facts.types].filter((type) => type !== 'integer' || facts.types?.has('number') !== true);
  }
  const implied: JsonType[] = [];
  if (saysObject(facts)) implied.push('object');
  if (saysArray(facts)) implied.push('array');
  if (saysString(facts)) implied.push('string');
  if (saysNumber(facts)) implied.push('number');
  return implied.length === 0 ? null : implied;
}

/** Members by name, in the order of `properties`, then required ones that are not listed. */
export const memberNames = (facts: Facts): string[] => [
  ...new Set([...facts.objects.flatMap(({ properties }) => [...properties.keys()]), ...facts.required]),
];

/** All that must hold for the member `name`. */
export const memberSchemas = (facts: Facts, name: string): Subschema[] =>
  facts.objects.flatMap(({ properties, additional }) => properties.get(name) ?? additional ?? []);

/** All that must hold for members not listed; null when there may be none. */
export function additionalMembers(facts: Facts): Subschema[] | null {
  const said = facts.objects.flatMap(({ additional }) => additional ?? []);
  if (said.some(({ schema }) => schema === false)) return null;
  return said.length === 0 && facts.objects.length > 0 ? null : said;
}

export const prefixLength = (facts: Facts): number => Math.max(0, ...facts.arrays.map(({ prefix }) => prefix.length));

/** All that must hold for item `index`. */
export const itemSchemas = (facts: Facts, index: number): Subschema[] =>
  facts.arrays.flatMap(({ prefix, items }) => prefix[index] ?? items ?? []);

/** All that must hold for items after the tuple; null when there may be none. */
export function restSchemas(facts: Facts): Subschema[] | null {
  const nPrefix = prefixLength(facts);
  const rest = itemSchemas(facts, nPrefix);
  if (rest.some(({ schema }) => schema === false)) return null;
  return rest.length === 0 && nPrefix > 0 && facts.minItems <= nPrefix ? null : rest;
}

function typeOf(value: unknown): JsonType {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  if (typeof value === 'string' || typeof value === 'boolean') return typeof value as 'string' | 'boolean';
  return 'object';
}

const acceptedBy = (automaton: TextAutomaton | null, text: string): boolean =>
  automaton !== null && automatonAccepts(automaton, text);

/** Whether the text satisfies the string keywords. */
export function textSatisfies(text: string, facts: Facts, budget: CompileBudget): boolean {
  const length = Array.from(text).length;
  if (length < facts.minLength || length > (facts.maxLength ?? Infinity)) return false;
  const patterns = [...facts.patterns, ...facts.formats.map((name) => stringFormats.get(name) ?? '')];
  return patterns.every((pattern) => acceptedBy(regexAutomaton(pattern, facts.path, budget), text));
}

function numberSatisfies(value: number, { minimum, maximum }: Facts): boolean {
  const above = minimum === null || value > minimum.value || (value === minimum.value && !minimum.exclusive);
  const below = maximum === null || value < maximum.value || (value === maximum.value && !maximum.exclusive);
  return above && below;
}

/** Whether a value listed in `enum` satisfies what stands beside it. */
export function listedValueSatisfies(value: unknown, facts: Facts, budget: CompileBudget): boolean {
  const type = typeOf(value);
  const typed = facts.types === null || facts.types.has(type) || (type === 'integer' && facts.types.has('number'));
  if (!typed) return false;
  if (typeof value === 'string') return textSatisfies(value, facts, budget);
  if (typeof value === 'number') return numberSatisfies(value, facts);
  if ((type === 'object' && saysObject(facts)) || (type === 'array' && saysArray(facts))) {
    throw unsupported('enum', facts.path, `listed ${type}s cannot be checked against the keywords beside them`);
  }
  return true;
}
