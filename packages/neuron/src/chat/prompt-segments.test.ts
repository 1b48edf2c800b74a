import { describe, expect, it } from 'vitest';
import { SegmentCache } from './prompt-segments.ts';

/** Counts its calls; a text's ids are its character codes. */
const counting = (): { encode: (text: string) => number[]; calls: string[] } => {
  const calls: string[] = [];
  return {
    calls,
    encode: (text) => {
      calls.push(text.slice(0, 1));
      return Array.from(text, (char) => char.charCodeAt(0));
    },
  };
};

const text = (char: string, length = 200): string => char.repeat(length);

describe('SegmentCache', () => {
  it('encodes a text once, and gives the same ids again', () => {
    const cache = new SegmentCache();
    const { encode, calls } = counting();
    const first = cache.encode(text('a'), encode);
    expect(cache.encode(text('a'), encode)).toEqual(first);
    expect(calls).toEqual(['a']);
  });

  it('forgets the texts not used for longest once it is full', () => {
    const cache = new SegmentCache(2500);
    const { encode, calls } = counting();
    for (const char of ['a', 'b', 'a', 'c', 'a', 'b']) cache.encode(text(char), encode);
    expect(calls).toEqual(['a', 'b', 'c', 'b']);
  });

  it.each([
    { chars: ['a', 'b', 'c', 'a'], bytesEach: 1000, nEncoded: 3 },
    { chars: ['日', '月', '火', '日'], bytesEach: 1200, nEncoded: 4 },
  ])('counts 200 ids and 200 characters as $bytesEach bytes: $chars', ({ chars, nEncoded }) => {
    const cache = new SegmentCache(3000);
    const { encode, calls } = counting();
    for (const char of chars) cache.encode(text(char), encode);
    expect(calls.length).toBe(nEncoded);
  });

  it('does not keep texts that are short, or larger than it may be', () => {
    const cache = new SegmentCache(2500);
    const { encode, calls } = counting();
    for (const length of [10, 10, 501, 501]) cache.encode(text('x', length), encode);
    expect(calls.length).toBe(4);
    cache.encode(text('y', 500), encode);
    cache.encode(text('y', 500), encode);
    expect(calls.length).toBe(5);
  });
});
