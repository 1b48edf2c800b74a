import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expandImagePadTokens } from './image-pads.ts';

const pad = 9;

describe('expandImagePadTokens', () => {
  it('repeats each placeholder for its own image', () => {
    expect(expandImagePadTokens([1, pad, 2, pad, 3], pad, [3, 1])).toEqual(Int32Array.of(1, 9, 9, 9, 2, 9, 3));
  });

  it('keeps images that stand side by side apart in count', () => {
    expect(expandImagePadTokens(Int32Array.of(pad, pad), pad, [2, 3]).length).toBe(5);
  });

  it('copies a prompt without images', () => {
    expect(expandImagePadTokens([1, 2], pad, [])).toEqual(Int32Array.of(1, 2));
  });

  it.each([
    [[1, pad], []],
    [[1, 2], [4]],
    [[pad, pad], [4]],
  ])('refuses %j with images of %j tokens, naming both numbers', (ids, nTokens) => {
    const nPads = ids.filter((id) => id === pad).length;
    expect(() => expandImagePadTokens(ids, pad, nTokens)).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        message: expect.stringMatching(new RegExp(`${nPads} .* ${nTokens.length} `)),
      }),
    );
  });

  it('changes nothing but the placeholders', () => {
    const prompt = fc.array(fc.oneof(fc.integer({ min: 0, max: 8 }), fc.constant(pad)), { maxLength: 30 });
    fc.assert(
      fc.property(prompt, fc.infiniteStream(fc.integer({ min: 1, max: 5 })), (ids, sizes) => {
        const nTokens = [...sizes.take(ids.filter((id) => id === pad).length)];
        const expanded = [...expandImagePadTokens(ids, pad, nTokens)];
        expect(expanded.filter((id) => id !== pad)).toEqual(ids.filter((id) => id !== pad));
        expect(expanded.filter((id) => id === pad).length).toBe(nTokens.reduce((sum, n) => sum + n, 0));
      }),
    );
  });
});
