import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { codePointSet, complement, contains, everything, intersect, subtract } from './code-points.ts';
import { utf8Sequences, type ByteSequence } from './utf8-ranges.ts';

const isBetween = (byte = -1, first = 0, last = 0): boolean => first <= byte && byte <= last;
const matches = (sequences: readonly ByteSequence[], bytes: Uint8Array): boolean =>
  sequences.some(
    (sequence) =>
      sequence.length === bytes.length &&
      sequence.every((ranges, i) => ranges.some(([first, last]) => isBetween(bytes[i], first, last))),
  );
const encode = (point: number): Uint8Array => new TextEncoder().encode(String.fromCodePoint(point));

/** Where encodings change their length or their lead byte, and their neighbours. */
const edges = [0, 0x7f, 0x7ff, 0xfff, 0xd7ff, 0xe000, 0xffff, 0x3ffff, 0xfffff, 0x10ffff];
const points = fc.oneof(
  fc
    .constantFrom(...edges.flatMap((edge) => [edge - 1, edge, edge + 1]))
    .filter((point) => point >= 0 && point <= 0x10ffff),
  fc.integer({ min: 0, max: 0x10ffff }),
);
const scalars = points.filter((point) => point < 0xd800 || point > 0xdfff);
const sets = fc
  .array(fc.tuple(points, points), { minLength: 1, maxLength: 3 })
  .map((pairs) => codePointSet(pairs.map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)));

it('matches the encodings of a set, and of no other character', () => {
  fc.assert(
    fc.property(sets, fc.array(scalars, { minLength: 5 }), (set, candidates) => {
      const sequences = utf8Sequences(set);
      const ends = set.flatMap(([first, last]) => [first, last]);
      for (const point of [...candidates, ...ends])
        expect(matches(sequences, encode(point))).toBe(contains(set, point));
    }),
  );
});

it('has no overlong forms, surrogates or values beyond Unicode', () => {
  const sequences = utf8Sequences(everything);
  for (const hex of ['c080', 'e08080', 'eda080', 'edbfbf', 'f0808080', 'f4908080', 'f5808080', '80', 'ff']) {
    expect(matches(sequences, Uint8Array.from(Buffer.from(hex, 'hex')))).toBe(false);
  }
});

it('keeps set algebra: complement, intersection, difference', () => {
  fc.assert(
    fc.property(sets, sets, fc.array(scalars, { minLength: 5 }), (a, b, candidates) => {
      for (const point of candidates) {
        expect(contains(complement(a), point)).toBe(!contains(a, point));
        expect(contains(intersect(a, b), point)).toBe(contains(a, point) && contains(b, point));
        expect(contains(subtract(a, b), point)).toBe(contains(a, point) && !contains(b, point));
      }
    }),
  );
});
