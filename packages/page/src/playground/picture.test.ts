import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesMax, fitPicture, pixelsMax } from './picture.ts';

describe('a picture', () => {
  it('goes as it is while it is within the limits', () => {
    expect(fitPicture({ width: 6000, height: 4000, bytes: bytesMax })).toBeNull();
  });

  it('is made smaller when it has too many bytes or pixels', () => {
    expect(fitPicture({ width: 8000, height: 4000, bytes: 1000 })).toEqual({ width: 4096, height: 2048 });
    expect(fitPicture({ width: 3000, height: 2000, bytes: bytesMax + 1 })).toEqual({ width: 3000, height: 2000 });
  });

  it('fits then, is never made larger, and keeps its shape', () => {
    const side = fc.integer({ min: 1, max: 100_000 });
    fc.assert(
      fc.property(side, side, fc.integer({ min: 0, max: bytesMax * 4 }), (width, height, bytes) => {
        const fit = fitPicture({ width, height, bytes });
        expect(fit === null).toBe(bytes <= bytesMax && width * height <= pixelsMax);
        if (fit === null) return;
        expect(fit.width * fit.height).toBeLessThanOrEqual(pixelsMax * 1.001);
        expect([fit.width <= width, fit.height <= height]).toEqual([true, true]);
        expect(Math.abs(fit.width * height - fit.height * width)).toBeLessThanOrEqual(width + height);
      }),
    );
  });
});
