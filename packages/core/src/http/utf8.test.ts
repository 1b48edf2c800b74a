import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonBytes, textOf } from './utf8.ts';

const texts = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('', '\uFEFF', '\ud800', 'a\udc00b', 'é'.repeat(3), '–', '😀', '–'.repeat(5000)),
);

describe('UTF-8', () => {
  it('is written as `JSON.stringify` and `Buffer.from` write it', () => {
    fc.assert(
      fc.property(fc.array(texts), (value) => {
        expect(jsonBytes(value)).toEqual(Buffer.from(JSON.stringify(value)));
      }),
    );
  });

  it('is read as `toString` reads it, also where it is none', () => {
    const bytes = fc.oneof(
      texts.map((text) => Buffer.from(text)),
      fc.uint8Array().map((some) => Buffer.from(some)),
    );
    fc.assert(
      fc.property(bytes, (some) => {
        expect(textOf(some)).toBe(some.toString('utf8'));
      }),
    );
  });
});
