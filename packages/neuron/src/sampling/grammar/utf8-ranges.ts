/**
 * Code point ranges as UTF-8: every well-formed encoding of the set and no other, as sequences of byte ranges
 * (RFC 3629, so no surrogates, no overlong forms, nothing above U+10FFFF).
 */
import type { CodePointSet } from './code-points.ts';

export type ByteRange = readonly [first: number, last: number];
/** Bytes one after another, each out of any of its ranges. */
export type ByteSequence = readonly (readonly ByteRange[])[];

/** Last code point that takes one, two, three, four bytes. */
const lastOfLength = [0x7f, 0x7ff, 0xffff, 0x10ffff] as const;

/** Lead byte without data bits, by length. */
const leads = [0, 0, 0xc0, 0xe0, 0xf0] as const;

function encode(codePoint: number, length: number): number[] {
  const bytes: number[] = [];
  for (let i = length - 1; i > 0; i--) bytes.push(0x80 | ((codePoint >> (6 * (i - 1))) & 0x3f));
  return [(leads[length] ?? 0) | (codePoint >> (6 * (length - 1))), ...bytes];
}

/** Splits until all encodings of a piece differ only in whole trailing bytes, so that they form a box. */
function split(first: number, last: number, into: ByteSequence[]): void {
  for (const limit of lastOfLength) {
    if (first <= limit && last > limit) {
      split(first, limit, into);
      split(limit + 1, last, into);
      return;
    }
  }
  const length = lastOfLength.findIndex((limit) => last <= limit) + 1;
  for (let nTrailing = 1; nTrailing < length; nTrailing++) {
    const mask = (1 << (6 * nTrailing)) - 1;
    if (first >> (6 * nTrailing) === last >> (6 * nTrailing)) continue;
    if ((first & mask) !== 0) {
      split(first, first | mask, into);
      split((first | mask) + 1, last, into);
      return;
    }
    if ((last & mask) !== mask) {
      split(first, (last & ~mask) - 1, into);
      split(last & ~mask, last, into);
      return;
    }
  }
  const low = encode(first, length);
  const high = encode(last, length);
  into.push(low.map((byte, i): readonly ByteRange[] => [[byte, high[i] ?? byte]]));
}

export function utf8Sequences(set: CodePointSet): ByteSequence[] {
  const sequences: ByteSequence[] = [];
  for (const [first, last] of set) split(first, last, sequences);
  return sequences;
}
