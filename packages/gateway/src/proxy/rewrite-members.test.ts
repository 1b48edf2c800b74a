import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { prependMembers, rewriteMembers } from './rewrite-members.ts';

const rewrite = (json: string, values: Record<string, unknown>): string =>
  rewriteMembers(
    Buffer.from(json),
    new Map(Object.entries(values).map(([key, value]) => [key, JSON.stringify(value)])),
  ).toString();

describe('rewriteMembers', () => {
  it('changes the member and not a byte around it', () => {
    const json = ' {\n "seed" : 12345678901234567890, "model":"a\\"b" ,"messages":[{"model":"inner"}] , "t":1.50 }\n';
    expect(rewrite(json, { model: 'x' })).toBe(json.replace('"a\\"b"', '"x"'));
  });

  it('finds a key that is written with escapes, and every copy of it', () => {
    expect(rewrite('{"mo\\u0064el":"a","model":"b"}', { model: 'x' })).toBe('{"mo\\u0064el":"x","model":"x"}');
  });

  it('puts a missing member first', () => {
    expect(rewrite('{"a":1}', { b: [2] })).toBe('{"b":[2],"a":1}');
    expect(rewrite('{ }', { b: 2 })).toBe('{"b":2 }');
  });

  it('puts members first without looking at the others, when told that they are new', () => {
    const values = new Map([['b', '[2]']]);
    expect(prependMembers(Buffer.from(' { "a": 1}'), values).toString()).toBe(' {"b":[2], "a": 1}');
  });

  it('does the same as parsing, setting and writing, for any object', () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string().filter((key) => key !== '__proto__'),
          fc.jsonValue(),
        ),
        fc.constantFrom(0, 1, 3),
        fc.jsonValue(),
        (object, indent, value) => {
          const key = Object.keys(object)[1] ?? 'new';
          const json = JSON.stringify(object, null, indent);
          expect(JSON.parse(rewrite(json, { [key]: value }))).toEqual({
            ...(JSON.parse(json) as object),
            [key]: JSON.parse(JSON.stringify(value)) as unknown,
          });
        },
      ),
    );
  });
});
