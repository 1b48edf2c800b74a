import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { matcherOfSpec, schemaSpec } from '../../../test/grammar/generate.ts';
import { compileConstraint } from './compile-constraint.ts';
import type { JsonSchema } from './spec.ts';

function failure(schema: unknown): CortexError {
  try {
    compileConstraint({ kind: 'json_schema', schema: schema as JsonSchema, startAfter: null });
  } catch (error) {
    if (error instanceof CortexError) return error;
    throw error;
  }
  throw new Error(`compiled: ${JSON.stringify(schema).slice(0, 200)}`);
}
const nested = (depth: number): unknown => (depth === 0 ? {} : { type: 'array', items: nested(depth - 1) });
const doubled = (depth: number): unknown => ({
  $defs: Object.fromEntries(
    Array.from({ length: depth }, (_, i) => [
      `d${i}`,
      i === 0 ? { type: 'null' } : { allOf: [{ $ref: `#/$defs/d${i - 1}` }, { $ref: `#/$defs/d${i - 1}` }] },
    ]),
  ),
  $ref: `#/$defs/d${depth - 1}`,
});

describe('what compileConstraint refuses', () => {
  it.each([
    ['not', { not: { type: 'string' } }],
    ['if', { if: true }],
    ['patternProperties', { patternProperties: { '^a': true } }],
    ['unevaluatedProperties', { unevaluatedProperties: false }],
    ['dependentRequired', { dependentRequired: { a: ['b'] } }],
    ['contains', { contains: {} }],
    ['uniqueItems', { type: 'array', uniqueItems: true }],
    ['multipleOf', { type: 'number', multipleOf: 0.01 }],
    ['format', { type: 'string', format: 'idn-email' }],
    ['pattern', { type: 'string', pattern: '(?=a)b' }],
    ['minProperties', { type: 'object', minProperties: 3 }],
    ['maxProperties', { properties: { a: {}, b: {} }, maxProperties: 1 }],
    ['$ref', { $ref: 'https://example.org/schema' }],
    ['exclusiveMinimum', { type: 'number', minimum: 1, exclusiveMinimum: true }],
  ])('the keyword %s, by name and place', (keyword, inner) => {
    const error = failure({ type: 'object', properties: { 'a/b': inner } });
    expect(error).toMatchObject({ code: 'unsupported_parameter', param: 'response_format' });
    expect(error.facts).toMatchObject({ keyword });
    expect(error.facts['path']).toMatch(/^#\/properties\/a~1b/);
    expect(error.message).toContain(`"${keyword}"`);
  });

  it.each([
    ['a type that does not exist', { type: 'text' }],
    ['a schema that is a list', []],
    ['a schema that is null', null],
    ['properties that are a list', { properties: [] }],
    ['a property that is a number', { properties: { a: 1 } }],
    ['required that is no list', { required: 'a' }],
    ['an empty enum', { enum: [] }],
    ['an empty anyOf', { anyOf: [] }],
    ['a negative length', { minLength: -1 }],
    ['a length that is text', { maxLength: '5' }],
    ['a length beyond counting', { maxLength: 1e12 }],
    ['an infinite bound', { minimum: Infinity }],
    ['a pattern that is no text', { pattern: 5 }],
    ['a reference to nowhere', { $ref: '#/$defs/gone' }],
    ['a reference through a prototype', { $ref: '#/constructor' }],
    ['a schema that is itself', { $ref: '#' }],
    [
      'schemas that are each other',
      { $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' },
    ],
    ['a schema nothing satisfies', { type: 'object', properties: { a: false }, required: ['a'] }],
    ['a value without end', { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }],
    ['bounds that cross', { type: 'integer', minimum: 3, maximum: 2 }],
    ['lengths that cross', { type: 'string', minLength: 3, maxLength: 2 }],
    ['types that exclude each other', { allOf: [{ type: 'string' }, { type: 'null' }] }],
    ['nesting beyond reading', nested(3000)],
    ['a tree that doubles', doubled(60)],
    ['a pattern that explodes', { type: 'string', pattern: '^((a{99}){99}){99}$' }],
    ['a pattern that remembers too much', { type: 'string', pattern: 'a.{300}$' }],
    ['more than a page of values', { enum: Array.from({ length: 60_000 }, (_, i) => i) }],
    [
      'choices of choices',
      { allOf: Array.from({ length: 40 }, (_, i) => ({ anyOf: [{ minLength: i }, { maxLength: 99 + i }] })) },
    ],
  ])('%s', (_, schema) => {
    expect(failure(schema)).toMatchObject({ code: 'invalid_request', param: 'response_format' });
  });
});

describe('what a compiled constraint is', () => {
  it('plain data that survives a thread, with a key for its grammar', () => {
    const one = compileConstraint({ kind: 'json_object', startAfter: null });
    const other = compileConstraint({ kind: 'json_object', startAfter: [7] });
    expect(structuredClone(one)).toEqual(one);
    expect(other.key).toBe(one.key);
    expect(other.startAfter).toEqual([7]);
    expect(compileConstraint({ kind: 'json_schema', schema: {}, startAfter: null }).key).not.toBe(one.key);
  });
});

describe('JSON Schema keywords', () => {
  it.each<[string, JsonSchema, string[], string[]]>([
    ['any value', true, ['{}', '[1, {"a": null}]', '"x"', '-1.5e3', 'true'], ['', '{', 'nul', '01', "{'a':1}"]],
    [
      'members in order, optional ones left out',
      { properties: { a: { type: 'null' }, b: { type: 'null' }, c: {} }, required: ['b'] },
      ['{"a":null,"b":null}', '{ "b": null }', '{\n  "b": null,\n  "c": 1\n}'],
      ['{}', '{"a":null}', '{"b":null,"a":null}', '{"b":null,"z":1}', '{"b":null,}'],
    ],
    [
      'names written in JSON',
      { properties: { 'a"\n': { const: 1 } }, required: ['a"\n'] },
      ['{"a\\"\\n":1}'],
      ['{"a"\\n":1}'],
    ],
    [
      'additional members, never a listed one',
      { properties: { ab: { const: 1 } }, additionalProperties: { type: 'integer' } },
      ['{}', '{"ab":1}', '{"ab":1,"abc":2}', '{"x":5,"y":6}', '{"a":3}'],
      ['{"x":"s"}', '{"ab":2}', '{"x":5,"ab":1}', '{"\\u0061b":7}'],
    ],
    [
      'a map',
      {
        type: 'object',
        additionalProperties: { type: 'boolean' },
        propertyNames: { pattern: '^[a-z]+$' },
        maxProperties: 2,
      },
      ['{}', '{"a":true}', '{"a":true,"b":false}'],
      ['{"A":true}', '{"a":1}', '{"a":true,"b":true,"c":true}'],
    ],
    ['required members that are not listed', { type: 'object', required: ['k'] }, ['{"k":[]}'], ['{}']],
    [
      'items, counted',
      { type: 'array', items: { type: 'integer' }, minItems: 2, maxItems: 3 },
      ['[1,2]', '[1, 2, 3]'],
      ['[]', '[1]', '[1,2,3,4]', '[1,]'],
    ],
    [
      'a tuple',
      { prefixItems: [{ type: 'string' }, { type: 'null' }], minItems: 1 },
      ['["a"]', '["a",null]'],
      ['[]', '[1]', '["a",null,1]'],
    ],
    [
      'a tuple with a rest',
      { prefixItems: [{ type: 'string' }], items: { type: 'null' } },
      ['[]', '["a",null,null]'],
      ['["a",1]'],
    ],
    [
      'an old tuple',
      { items: [{ type: 'string' }], additionalItems: false, type: 'array' },
      ['["a"]', '[]'],
      ['["a",1]'],
    ],
    [
      'lengths in characters',
      { type: 'string', minLength: 2, maxLength: 2 },
      ['"é😀"', '"\\ud83d\\ude00a"', '"\\n\\\\"'],
      ['"é"', '"abc"', '""'],
    ],
    [
      'escapes and UTF-8',
      { type: 'string' },
      ['"\\/\\b\\u00E9"', '"\u007f"'],
      ['"\n"', '"\\x"', '"\\ud83d"', '"\\ude00"', '"\\u12"', '"\t"'],
    ],
    [
      'values of several types',
      { enum: ['a', 1, null, { x: [1] }] },
      ['"a"', '1', 'null', '{"x":[1]}', '{ "x": [ 1 ] }'],
      ['"b"', '2', '{}'],
    ],
    ['const beside type', { type: 'string', const: 'yes' }, ['"yes"'], ['"no"']],
    [
      'enum narrowed by its siblings',
      { enum: ['a', 'abc', 5, 50], minLength: 2, maximum: 10 },
      ['"abc"', '5'],
      ['"a"', '50'],
    ],
    ['types as a list', { type: ['integer', 'null'], minimum: 0 }, ['0', '12', 'null'], ['-1', '1.5', '"1"']],
    [
      'anyOf with siblings',
      {
        type: 'object',
        properties: { k: {} },
        anyOf: [{ required: ['k'] }, { properties: { m: { const: 1 } }, required: ['m'] }],
      },
      ['{"k":1}', '{"m":1}', '{"k":1,"m":1}'],
      ['{}', '{"m":2}'],
    ],
    [
      'allOf',
      {
        allOf: [
          { type: 'number', minimum: 2 },
          { type: 'integer', maximum: 4 },
        ],
      },
      ['2', '4'],
      ['1', '5', '2.5'],
    ],
    [
      '$ref with siblings',
      { $defs: { s: { type: 'string', maxLength: 3 } }, $ref: '#/$defs/s', minLength: 2 },
      ['"ab"'],
      ['"a"', '"abcd"'],
    ],
    [
      'recursion',
      {
        $defs: {
          n: {
            type: 'object',
            properties: { v: { type: 'integer' }, next: { anyOf: [{ $ref: '#/$defs/n' }, { type: 'null' }] } },
            required: ['v', 'next'],
          },
        },
        $ref: '#/$defs/n',
      },
      ['{"v":1,"next":{"v":2,"next":null}}'],
      ['{"v":1}', '{"v":1,"next":{}}'],
    ],
    ['a pointer with escapes', { $defs: { 'a/b~': { const: 1 } }, $ref: '#/$defs/a~1b~0' }, ['1'], ['2']],
    ['false among choices', { anyOf: [false, { const: 1 }] }, ['1'], ['2']],
    [
      'remarks and unknown keywords',
      { title: 't', $comment: 'c', default: 4, 'x-order': 1, format: 'int32', type: 'integer' },
      ['4'],
      ['"4"'],
    ],
    ['multiples of one', { type: 'number', multipleOf: 1, minimum: 0 }, ['3'], ['3.5']],
    [
      'a pattern and a length',
      { type: 'string', pattern: '^(ab)+$', minLength: 3, maxLength: 5 },
      ['"abab"'],
      ['"ab"', '"ababab"'],
    ],
    [
      'whitespace, a little',
      { type: 'array', items: { const: 1 } },
      ['\n\n[ 1, 1 ]', '[\n    1,\n    1\n]'],
      ['[  1]', '[\n\n1]', '[1] ', '[1 ,1]', `[\n${' '.repeat(33)}1]`],
    ],
  ])('%s', (_, schema, valid, invalid) => {
    const matches = matcherOfSpec(schemaSpec(schema));
    expect(valid.filter((text) => !matches(text))).toEqual([]);
    expect(invalid.filter((text) => matches(text))).toEqual([]);
  });
});
