import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { prefixBoundaries } from './boundaries.ts';

const isControl = (id: number): boolean => id === 1;
/** Text tokens and control tokens: lengths of text, a control token behind each. */
const turns = (...lengths: readonly number[]): Int32Array =>
  Int32Array.from(
    lengths.flatMap((n, i) => [...Array.from({ length: n }, () => 0), ...(i + 1 < lengths.length ? [1] : [])]),
  );

describe('prefixBoundaries', () => {
  it('are behind the system prompt and behind the latest turns', () => {
    const ids = turns(99, 99, 99, 99, 99, 99, 5);
    expect(prefixBoundaries(ids, { from: 0, isControl })).toEqual([100, 400, 500, 600]);
  });

  it('of control tokens close together is behind the last', () => {
    expect(prefixBoundaries(turns(99, 1, 99, 1, 3), { from: 0, isControl })).toEqual([102, 204]);
  });

  it('lie behind what was known before', () => {
    expect(prefixBoundaries(turns(99, 99, 99, 5), { from: 200, isControl })).toEqual([300]);
  });

  it('of a prompt without control tokens is shortly before its end', () => {
    expect(prefixBoundaries(turns(200), { from: 0, isControl })).toEqual([196]);
    expect(prefixBoundaries(turns(40), { from: 0, isControl })).toEqual([]);
  });

  it('come regularly in a long document', () => {
    expect(prefixBoundaries(turns(20_000, 5), { from: 0, isControl })).toEqual([8192, 16_384, 20_001]);
  });

  it('are ascending, within the prompt, behind what is known, and few', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(300), { maxLength: 40 }), fc.nat(3000), (lengths, from) => {
        const ids = turns(...lengths);
        const found = prefixBoundaries(ids, { from, isControl });
        expect(found).toEqual([...new Set(found)].toSorted((a, b) => a - b));
        expect(found.every((at) => at > from && at < ids.length)).toBe(true);
        expect(found.length).toBeLessThanOrEqual(5 + ids.length / 8192);
      }),
    );
  });
});
