import { assert, integer, pre, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixtureJson } from '../../test/reference-files.ts';
import { smartResize } from './smart-resize.ts';

interface Expected {
  smart_resize: { hw: [number, number]; out: [number, number] }[];
}

const bounds = { factor: 32, minPixels: 65536, maxPixels: 16777216 };
const golden = fixtureJson<Expected>('preprocess/expected.json').smart_resize;

describe('smartResize', () => {
  it('has a golden table to be held against', () => {
    expect(golden.length).toBeGreaterThan(10);
  });

  it.each(golden)('takes $hw to $out', ({ hw: [height, width], out: [outHeight, outWidth] }) => {
    expect(smartResize({ width, height }, bounds)).toEqual({ width: outWidth, height: outHeight });
  });

  it('rounds halves to even, as Python does', () => {
    const free = { factor: 32, minPixels: 1, maxPixels: 2 ** 30 };
    expect([48, 80, 112, 144].map((side) => smartResize({ width: side, height: 320 }, free).width)).toEqual([
      64, 64, 128, 128,
    ]);
  });

  it('refuses one side more than 200 times the other, and takes exactly 200', () => {
    expect(smartResize({ width: 2000, height: 10 }, bounds).height).toBeGreaterThanOrEqual(32);
    expect(() => smartResize({ width: 2001, height: 10 }, bounds)).toThrow(
      expect.objectContaining({ code: 'invalid_image' }) as Error,
    );
  });

  it('gives positive multiples of the factor, and no more than the greatest area unless a side is already the least', () => {
    const side = integer({ min: 1, max: 20_000 });
    assert(
      property(side, side, (width, height) => {
        pre(Math.max(width, height) / Math.min(width, height) <= 200);
        const out = smartResize({ width, height }, bounds);
        expect(out.width % 32).toBe(0);
        expect(out.height % 32).toBe(0);
        expect(Math.min(out.width, out.height)).toBeGreaterThanOrEqual(32);
        const atLeast = Math.min(out.width, out.height) === 32;
        expect(atLeast || out.width * out.height <= bounds.maxPixels).toBe(true);
        expect(out.width * out.height).toBeGreaterThanOrEqual(bounds.minPixels);
      }),
    );
  });
});
