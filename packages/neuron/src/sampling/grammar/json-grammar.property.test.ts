import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CortexError } from '@cortex/core';
import { RandomWriter, schemaSpec } from '../../../test/grammar/generate.ts';
import { fixtureVocabulary, jsonVocabulary, type ToyVocabulary } from '../../../test/grammar/toy-vocabulary.ts';
import { isValid } from '../../../test/grammar/validate.ts';
import { compileConstraint } from './compile-constraint.ts';
import type { JsonSchema } from './spec.ts';
import { VocabularyTrie } from './vocabulary-trie.ts';

const withTrie = (vocabulary: ToyVocabulary) => ({ vocabulary, trie: new VocabularyTrie(vocabulary.table) });
const made = withTrie(jsonVocabulary);
const fromFixture = withTrie(fixtureVocabulary());

const names = fc.constantFrom('a', 'ab', 'name', 'é', 'a"b', 'tab\t', '日本', '');
const bounds = fc.integer({ min: -1200, max: 1200 });
const sizes = fc.tuple(fc.nat(3), fc.nat(4));
const within = (type: string, low: string, high: string, [a, b]: readonly [number, number]) => ({
  type,
  [low]: Math.min(a, b),
  [high]: Math.max(a, b),
});

const texts: fc.Arbitrary<JsonSchema> = fc.oneof(
  fc.constant({ type: 'string' }),
  sizes.map((size) => within('string', 'minLength', 'maxLength', size)),
  fc
    .constantFrom('^[a-z]{2,4}$', '[aeiou]', '^(é|日)+$', '^\\d{3}-\\d{4}$', '^[^"\\\\]*$', '[\\s\\w]$')
    .map((pattern) => ({
      type: 'string',
      pattern,
    })),
  fc.record({
    type: fc.constant('string'),
    pattern: fc.constant('^(ab|c)*$'),
    minLength: fc.nat(3),
    maxLength: fc.integer({ min: 3, max: 6 }),
  }),
);
const numbers: fc.Arbitrary<JsonSchema> = fc.oneof(
  fc.constantFrom<JsonSchema>({ type: 'integer' }, { type: 'number' }),
  fc.tuple(bounds, bounds).map((pair) => within('integer', 'minimum', 'maximum', pair)),
  fc.tuple(bounds, bounds).map(([a, b]) => within('number', 'minimum', 'maximum', [a / 8, b / 10])),
  bounds.map((bound) => ({ type: 'number', exclusiveMinimum: bound / 100 })),
  bounds.map((bound) => ({ type: 'number', exclusiveMaximum: bound / 1000 })),
  bounds.map((bound) => ({ type: 'integer', exclusiveMinimum: bound / 10 })),
);
const scalars: fc.Arbitrary<JsonSchema> = fc.oneof(
  texts,
  numbers,
  fc.constantFrom<JsonSchema>({ type: 'boolean' }, { type: ['null', 'boolean'] }, true, {}, { $ref: '#/$defs/node' }),
  fc
    .array(fc.constantFrom('x', 'xy', 1, -2.5, null, true, { k: [1, {}] }, [], 'é"'), { minLength: 1, maxLength: 4 })
    .map((values) => ({ enum: values })),
);

const { schema: schemas } = fc.letrec<{ schema: JsonSchema }>((tie) => ({
  schema: fc.oneof(
    { depthSize: 'small' },
    scalars,
    fc
      .record({
        properties: fc.dictionary(names, tie('schema'), { maxKeys: 4 }),
        pick: fc.func(fc.boolean()),
        additional: fc.option(fc.oneof(fc.boolean(), tie('schema')), { nil: undefined }),
      })
      .map(({ properties, pick, additional }) => {
        const required = Object.keys(properties).filter((name) => pick(name));
        const closed = { type: 'object', properties, required };
        return additional === undefined ? closed : Object.assign(closed, { additionalProperties: additional });
      }),
    tie('schema').map((inner) => ({ type: 'object', additionalProperties: inner, propertyNames: { minLength: 2 } })),
    fc
      .tuple(tie('schema'), sizes)
      .map(([items, size]) => Object.assign(within('array', 'minItems', 'maxItems', size), { items })),
    fc
      .tuple(tie('schema'), tie('schema'))
      .map(([a, b]) => ({ type: 'array', prefixItems: [a, b], items: a, minItems: 1 })),
    fc.tuple(tie('schema'), tie('schema')).map(([a, b]) => ({ anyOf: [a, b] })),
    fc.tuple(tie('schema'), tie('schema')).map(([a, b]) => ({
      type: 'object',
      required: ['v'],
      oneOf: [{ properties: { v: a } }, { properties: { v: b } }],
    })),
    fc.tuple(tie('schema'), tie('schema')).map(([a, b]) => ({
      allOf: [{ type: 'object', properties: { a, ab: a }, required: ['a'] }, { properties: { b, ab: b } }],
    })),
  ),
}));

const node = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 8 },
    kids: { type: 'array', items: { $ref: '#/$defs/node' }, maxItems: 3 },
  },
  required: ['name'],
};

const refusals = /no JSON value satisfies|listed \w+s cannot be checked|"propertyNames" .* beside properties/;

/** False when nothing satisfies the schema, or when what `allOf` merged cannot be enforced: such are refused up front. */
function compiles(schema: JsonSchema): boolean {
  try {
    compileConstraint({ kind: 'json_schema', schema, startAfter: null });
    return true;
  } catch (error) {
    if (error instanceof CortexError && refusals.test(error.message)) return false;
    throw error;
  }
}

describe('text generated under a schema', () => {
  it('is JSON that satisfies it, whatever the schema and the choices', () => {
    fc.assert(
      fc.property(schemas, fc.integer(), fc.boolean(), (inner, seed, real) => {
        const { vocabulary, trie } = real ? fromFixture : made;
        const schema = { $defs: { node }, anyOf: [inner] };
        fc.pre(compiles(schema));
        const text = new RandomWriter(schemaSpec(schema), vocabulary, trie).write(seed);
        // The text itself shows in a failure.
        expect([text, isValid(JSON.parse(text), schema)]).toEqual([text, true]);
      }),
      { numRuns: 60 },
    );
  });

  it('is an object for json_object', () => {
    for (const { vocabulary, trie } of [made, fromFixture]) {
      const writer = new RandomWriter({ kind: 'json_object' }, vocabulary, trie);
      for (let seed = 0; seed < 20; seed++) {
        const value: unknown = JSON.parse(writer.write(seed));
        expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
      }
    }
  });
});
