import { describe, expect, it } from 'vitest';
import { resizeRgb, type RgbImage } from './resize.ts';

const filled = (width: number, height: number, level: (i: number) => number): RgbImage => ({
  width,
  height,
  rgb: Uint8Array.from({ length: width * height * 3 }, (_, i) => level(i)),
});

const transpose = (image: RgbImage): RgbImage => {
  const rgb = new Uint8Array(image.rgb.length);
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++) {
      const from = (y * image.width + x) * 3;
      rgb.set(image.rgb.subarray(from, from + 3), (x * image.height + y) * 3);
    }
  }
  return { width: image.height, height: image.width, rgb };
};

describe('resizeRgb', () => {
  // The reference arrays themselves are held against in decode-image.test.ts, for every image.
  it('keeps an even colour even, whatever the sizes', () => {
    const grey = filled(97, 31, () => 201);
    for (const size of [
      { width: 32, height: 32 },
      { width: 640, height: 8 },
      { width: 1, height: 1 },
    ]) {
      expect(new Set(resizeRgb(grey, size).rgb)).toEqual(new Set([201]));
    }
  });

  it('gives the same pixels back when neither side changes', () => {
    const image = filled(8, 4, (i) => i % 256);
    expect(resizeRgb(image, { width: 8, height: 4 })).toEqual(image);
  });

  it('keeps channels apart', () => {
    const red = filled(40, 40, (i) => (i % 3 === 0 ? 255 : 0));
    const { rgb } = resizeRgb(red, { width: 32, height: 64 });
    expect(rgb.every((level, i) => level === (i % 3 === 0 ? 255 : 0))).toBe(true);
  });

  it('clips the overshoot of a hard edge instead of wrapping it', () => {
    const edge = filled(16, 1, (i) => (i < 24 ? 0 : 255));
    const { rgb } = resizeRgb(edge, { width: 32, height: 1 });
    const reds = [...rgb].filter((_, i) => i % 3 === 0);
    expect(reds).toEqual(reds.toSorted((a, b) => a - b));
    expect([reds[0], reds[31]]).toEqual([0, 255]);
  });

  it('turns with the image: transposing before or after gives the same', () => {
    const noise = filled(60, 40, (i) => ((i * 2_654_435_761) >>> 24) & 255);
    // One pass only, so that the order of the passes' roundings does not enter.
    const across = resizeRgb(noise, { width: 96, height: 40 });
    const down = resizeRgb(transpose(noise), { width: 40, height: 96 });
    expect(transpose(down)).toEqual(across);
  });
});
