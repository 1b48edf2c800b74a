import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { spliceRuns, type SpliceRun } from './splice-runs.ts';

const pad = 9;
/** `x` is a pad, anything else a token of text. */
const ids = (text: string): Int32Array => Int32Array.from(text, (letter) => (letter === 'x' ? pad : 1));

/** Image and row of every pad, by its index. */
const rowsByIndex = (runs: readonly SpliceRun[], offset = 0): readonly (readonly [number, string])[] =>
  runs.flatMap(({ start, length, iImage, imageRow }) =>
    Array.from({ length }, (_, i) => [offset + start + i, `image ${iImage} row ${imageRow + i}`] as const),
  );

describe('spliceRuns', () => {
  it('is empty for text', () => {
    expect(spliceRuns(ids('aaa'), pad, 0, [])).toEqual([]);
    expect(spliceRuns(ids('aaa'), pad, 2, [4])).toEqual([]);
    expect(spliceRuns(ids(''), pad, 0, [4])).toEqual([]);
  });

  it('finds a contiguous run', () => {
    expect(spliceRuns(ids('axxxb'), pad, 0, [3])).toEqual([{ start: 1, length: 3, iImage: 0, imageRow: 0 }]);
  });

  it('finds separate runs, of one image and of several', () => {
    expect(spliceRuns(ids('xxaxbxx'), pad, 0, [3, 2])).toEqual([
      { start: 0, length: 2, iImage: 0, imageRow: 0 },
      { start: 3, length: 1, iImage: 0, imageRow: 2 },
      { start: 5, length: 2, iImage: 1, imageRow: 0 },
    ]);
  });

  it('splits pads that cover two adjacent images', () => {
    expect(spliceRuns(ids('axxxxx'), pad, 0, [2, 3])).toEqual([
      { start: 1, length: 2, iImage: 0, imageRow: 0 },
      { start: 3, length: 3, iImage: 1, imageRow: 0 },
    ]);
  });

  it('goes on within an image that an earlier chunk began', () => {
    expect(spliceRuns(ids('xxaxx'), pad, 6, [4, 4, 9])).toEqual([
      { start: 0, length: 2, iImage: 1, imageRow: 2 },
      { start: 3, length: 2, iImage: 2, imageRow: 0 },
    ]);
  });

  it('ends within an image that a later chunk goes on with', () => {
    expect(spliceRuns(ids('axx'), pad, 0, [5])).toEqual([{ start: 1, length: 2, iImage: 0, imageRow: 0 }]);
  });

  it('refuses more pads than rows, naming both', () => {
    for (const [text, nRowsBefore] of [
      ['xxaxxx', 0],
      ['xx', 3],
      ['a', 5],
    ] as const)
      expect(() => spliceRuns(ids(text), pad, nRowsBefore, [1, 3])).toThrow(
        expect.objectContaining({
          code: 'internal_error',
          message: '5 image pads up to here, but the images have 4 rows',
        }) as Error,
      );
  });

  it('maps every pad alike however the prompt is cut into chunks', () => {
    const prompt = fc.array(fc.record({ nText: fc.nat(3), nTokens: fc.nat(7) }), { maxLength: 8 });
    fc.assert(
      fc.property(prompt, fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1 }), (parts, chunkSizes) => {
        const text = parts.map(({ nText, nTokens }) => 'a'.repeat(nText) + 'x'.repeat(nTokens)).join('');
        const images = parts.map(({ nTokens }) => nTokens);
        const chunked: (readonly [number, string])[] = [];
        let offset = 0;
        for (let i = 0; offset < text.length; i += 1) {
          const chunk = text.slice(offset, offset + (chunkSizes[i % chunkSizes.length] ?? 1));
          const runs = spliceRuns(ids(chunk), pad, chunked.length, images);
          expect(runs.every((run) => run.length > 0 && run.imageRow + run.length <= (images[run.iImage] ?? 0))).toBe(
            true,
          );
          chunked.push(...rowsByIndex(runs, offset));
          offset += chunk.length;
        }
        // The mapping by its definition: the n-th pad takes the n-th row.
        const rows = images.flatMap((n, iImage) => Array.from({ length: n }, (_, row) => `image ${iImage} row ${row}`));
        const pads = Array.from(ids(text).keys()).filter((index) => text[index] === 'x');
        expect(chunked).toEqual(pads.map((index, n) => [index, rows[n]]));
        expect(rowsByIndex(spliceRuns(ids(text), pad, 0, images))).toEqual(chunked);
      }),
    );
  });
});
