import { describe, expect, it } from 'vitest';
import { parameterJson } from './tool-call-value.ts';

/** The JSON that `raw` becomes for a parameter of this schema. */
const as = (schema: unknown, raw: string, definitions: Record<string, unknown> = {}): string =>
  parameterJson(raw, 'p', { type: 'object', properties: { p: schema }, ...definitions });

describe('a parameter declared as', () => {
  it('string is taken raw, whatever it looks like', () => {
    for (const raw of ['5', 'true', 'null', '{"a": 1}', ' x \n', '']) {
      expect(as({ type: 'string' }, raw)).toBe(JSON.stringify(raw));
    }
  });

  it('integer or number is a number with its digits, or else a string', () => {
    expect(as({ type: 'integer' }, ' 42\n')).toBe('42');
    expect(as({ type: 'integer' }, '5.0')).toBe('5');
    expect(as({ type: 'integer' }, '123456789012345678901')).toBe('123456789012345678901');
    expect(as({ type: 'number' }, '2.50')).toBe('2.50');
    expect(as({ type: 'number' }, '.5')).toBe('0.5');
    for (const raw of ['many', '', 'Infinity', '1,5']) expect(as({ type: 'number' }, raw)).toBe(JSON.stringify(raw));
  });

  it('boolean takes either case', () => {
    expect(as({ type: 'boolean' }, 'True')).toBe('true');
    expect(as({ type: 'boolean' }, 'false')).toBe('false');
    expect(as({ type: 'boolean' }, 'yes')).toBe('"yes"');
  });

  it('object or array takes JSON, then a Python literal, then stays a string', () => {
    expect(as({ type: 'object' }, '\n{"a": [1]}')).toBe('{"a": [1]}');
    expect(as({ type: 'object' }, "{'a': None, 'b': True}")).toBe('{"a":null,"b":true}');
    expect(as({ type: 'array' }, "['x', 'y']")).toBe('["x","y"]');
    expect(as({ type: 'array' }, '[x, y')).toBe('"[x, y"');
  });

  it('anything but a plain string turns null into null', () => {
    for (const type of ['integer', 'boolean', 'object', 'array', 'null']) expect(as({ type }, 'null')).toBe('null');
    expect(as({ type: ['string', 'null'] }, 'null')).toBe('null');
    expect(as({ type: 'string' }, 'null')).toBe('"null"');
  });

  it('a union takes the first type that is not null', () => {
    expect(as({ anyOf: [{ type: 'null' }, { type: 'integer' }] }, '3')).toBe('3');
    expect(as({ anyOf: [{ type: 'string' }, { type: 'integer' }] }, '3')).toBe('"3"');
    expect(as({ oneOf: [{ type: 'boolean' }, { type: 'null' }] }, 'true')).toBe('true');
    expect(as({ type: ['null', 'number'] }, '1e3')).toBe('1e3');
    expect(as({ anyOf: [{ type: 'string' }, { type: 'null' }] }, 'null')).toBe('null');
  });

  it('a reference, an enum, a const or a bare shape has the type that follows from it', () => {
    const $defs = { Id: { type: 'string' }, Loop: { $ref: '#/$defs/Loop' } };
    expect(as({ $ref: '#/$defs/Id' }, '7', { $defs })).toBe('"7"');
    expect(as({ allOf: [{ $ref: '#/$defs/Id' }] }, '7', { $defs })).toBe('"7"');
    expect(as({ $ref: '#/$defs/Loop' }, '7', { $defs })).toBe('7');
    expect(as({ $ref: 'https://example.com/schema' }, '7')).toBe('7');
    expect(as({ enum: ['1', '2'] }, '1')).toBe('"1"');
    expect(as({ const: 4 }, '4')).toBe('4');
    expect(as({ properties: {} }, "{'a': 1}")).toBe('{"a":1}');
    expect(as({ items: {} }, '(1, 2)')).toBe('[1,2]');
  });
});

describe('a parameter the schema does not declare', () => {
  it('is JSON if it can be, else a string', () => {
    expect(parameterJson('7', 'x', {})).toBe('7');
    expect(parameterJson('null', 'x', {})).toBe('null');
    expect(parameterJson('hello', 'x', { properties: 'wrong' })).toBe('"hello"');
    expect(parameterJson('1', 'toString', { properties: {} })).toBe('1');
  });

  it('has the type of additionalProperties', () => {
    expect(parameterJson('7', 'x', { properties: {}, additionalProperties: { type: 'string' } })).toBe('"7"');
  });
});
