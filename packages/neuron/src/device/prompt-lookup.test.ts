import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { promptLookup } from './prompt-lookup.ts';

const lookup = (ids: readonly number[], nMax: number): number[] => [...promptLookup(Int32Array.from(ids), nMax)];

describe('promptLookup', () => {
  it('says what came after the last tokens before', () => {
    expect(lookup([1, 2, 3, 4, 5, 6, 1, 2, 3], 3)).toEqual([4, 5, 6]);
  });

  it('has no guess without a repetition of some length', () => {
    expect(lookup([1, 2, 3, 4], 3)).toEqual([]);
    expect(lookup([2, 3, 4, 2, 3], 3)).toEqual([]);
    expect(lookup([], 3)).toEqual([]);
    expect(lookup([1], 3)).toEqual([]);
  });

  it('takes the longest match, and the latest of equals', () => {
    expect(lookup([9, 1, 2, 3, 7, 1, 2, 3, 8, 9, 1, 2, 3], 1)).toEqual([7]);
    expect(lookup([1, 2, 3, 7, 1, 2, 3, 8, 1, 2, 3], 1)).toEqual([8]);
  });

  it('takes a repetition that is going on to go on', () => {
    expect(lookup([5, 5, 5, 5], 4)).toEqual([5, 5, 5, 5]);
    expect(lookup([1, 2, 1, 2, 1, 2], 5)).toEqual([1, 2, 1, 2, 1]);
  });

  it('is as long as asked or empty, and of tokens that are there', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 60 }), fc.integer({ min: 1, max: 20 }), (ids, nMax) => {
        const guess = lookup(ids, nMax);
        expect([0, nMax]).toContain(guess.length);
        expect(guess.every((id) => ids.includes(id))).toBe(true);
      }),
    );
  });
});
