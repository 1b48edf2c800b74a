import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { imagesOf, PrefixText } from './prefix-text.ts';

const pad = 9;
const image = (contentHash: string, nTokens = 2, w = nTokens) => ({ contentHash, nTokens, grid: { h: 1, w } });
const text = (ids: readonly number[], ...images: readonly ReturnType<typeof image>[]): PrefixText => {
  const array = Int32Array.from(ids);
  return new PrefixText(array, imagesOf(array, pad, images));
};

describe('imagesOf', () => {
  it('gives images their pads in order, also where they touch or are apart', () => {
    const ids = Int32Array.of(1, pad, pad, pad, 2, pad, 3);
    expect(imagesOf(ids, pad, [image('a'), image('b', 1), image('c', 1)])).toMatchObject([
      { at: 1, end: 3 },
      { at: 3, end: 4 },
      { at: 5, end: 6 },
    ]);
  });

  it('puts images without pads, and all of a model without a tower, at the end', () => {
    const ids = Int32Array.of(1, pad);
    expect(imagesOf(ids, pad, [image('a', 1), image('b')])[1]).toMatchObject({ at: 2, end: 2 });
    expect(imagesOf(ids, null, [image('a', 1)])).toMatchObject([{ at: 2, end: 2 }]);
  });
});

describe('the common length of two texts', () => {
  it('is counted in equal tokens', () => {
    expect(text([1, 2, 3]).commonLength(text([1, 2, 4, 5]))).toBe(2);
    expect(text([1, 2]).commonLength(text([1, 2, 3]))).toBe(2);
    expect(text([]).commonLength(text([1]))).toBe(0);
  });

  it('ends at the first image that differs, though the pads are the same', () => {
    const ids = [1, pad, pad, 2, pad, pad, 3];
    const one = text(ids, image('a'), image('b'));
    expect(one.commonLength(text(ids, image('a'), image('b')))).toBe(7);
    expect(one.commonLength(text(ids, image('a'), image('c')))).toBe(4);
    expect(one.commonLength(text(ids, image('c'), image('b')))).toBe(1);
  });

  it('ends where the same pads are cut into other images, or one image into another grid', () => {
    const ids = [1, pad, pad, pad, pad];
    expect(text(ids, image('a', 4)).commonLength(text(ids, image('a'), image('a')))).toBe(1);
    expect(text(ids, image('a', 4, 4)).commonLength(text(ids, image('a', 4, 2)))).toBe(1);
  });

  it('takes no account of images behind it', () => {
    const one = text([1, 2, pad, pad, 5], image('a'));
    expect(one.commonLength(text([1, 2, 3, pad, pad], image('b')))).toBe(2);
    expect(one.commonLength(text([1, 2]))).toBe(2);
  });

  it('is that of the texts written out image by image', () => {
    // An item is a token, or an image as its hash and number of pads.
    const item = fc.oneof(
      fc.integer({ min: 0, max: 1 }),
      fc.record({ hash: fc.constantFrom('a', 'b'), nTokens: fc.integer({ min: 1, max: 3 }) }),
    );
    type Item = number | { readonly hash: string; readonly nTokens: number };
    const built = (items: readonly Item[]): PrefixText =>
      text(
        items.flatMap((one) => (typeof one === 'number' ? [one] : Array.from({ length: one.nTokens }, () => pad))),
        ...items.flatMap((one) => (typeof one === 'number' ? [] : [image(one.hash, one.nTokens)])),
      );
    const expected = (a: readonly Item[], b: readonly Item[]): number => {
      let n = 0;
      for (const [i, one] of a.entries()) {
        if (JSON.stringify(one) !== JSON.stringify(b[i])) break;
        n += typeof one === 'number' ? 1 : one.nTokens;
      }
      return n;
    };
    fc.assert(
      fc.property(fc.array(item, { maxLength: 8 }), fc.array(item, { maxLength: 8 }), (a, b) => {
        expect(built(a).commonLength(built(b))).toBe(expected(a, b));
      }),
    );
  });
});

describe('a text that grows', () => {
  it('leaves the prompt that it was made of alone', () => {
    const prompt = Int32Array.of(1, 2);
    const [one, other] = [new PrefixText(prompt), new PrefixText(prompt)];
    for (let id = 3; id < 200; id++) one.push(id);
    other.push(7);
    expect([...one.ids]).toEqual(Array.from({ length: 199 }, (_, i) => i + 1));
    expect([...other.ids]).toEqual([1, 2, 7]);
    expect([...prompt]).toEqual([1, 2]);
    expect(one.commonLength(other)).toBe(2);
  });
});
