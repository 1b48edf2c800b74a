/**
 * The size an image is resized to before it is cut into patches: both sides a multiple of `factor`, the area within
 * bounds, the aspect ratio nearly kept. Follows Hugging Face's `smart_resize` of the Qwen2-VL image processor exactly.
 */
import { CortexError } from '@cortex/core';

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface ResizeBounds {
  /** Pixels on a side of the area that becomes one token: `patchSize · mergeSize`. */
  readonly factor: number;
  /** Areas in pixels. */
  readonly minPixels: number;
  readonly maxPixels: number;
}

const aspectRatioMax = 200;

/** Python's `round`: halves go to the even neighbour, where `Math.round` would go up. */
const roundHalfEven = (x: number): number => {
  const floor = Math.floor(x);
  const fraction = x - floor;
  if (fraction !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
};

/** @throws CortexError `invalid_image` when one side is more than 200 times the other. */
export const smartResize = ({ width, height }: Size, { factor, minPixels, maxPixels }: ResizeBounds): Size => {
  if (Math.max(width, height) / Math.min(width, height) > aspectRatioMax) {
    throw new CortexError(
      'invalid_image',
      `the image is ${width}×${height}: one side may be at most ${aspectRatioMax} times the other`,
      { facts: { width, height, aspect_ratio_max: aspectRatioMax } },
    );
  }
  const size = { width: roundHalfEven(width / factor) * factor, height: roundHalfEven(height / factor) * factor };
  if (size.width * size.height > maxPixels) {
    const shrink = Math.sqrt((height * width) / maxPixels);
    const side = (pixels: number): number => Math.max(factor, Math.floor(pixels / shrink / factor) * factor);
    return { width: side(width), height: side(height) };
  }
  if (size.width * size.height < minPixels) {
    const grow = Math.sqrt(minPixels / (height * width));
    const side = (pixels: number): number => Math.ceil((pixels * grow) / factor) * factor;
    return { width: side(width), height: side(height) };
  }
  return size;
};
