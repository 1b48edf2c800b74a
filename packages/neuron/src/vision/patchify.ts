/**
 * Resized pixels to the rows the vision tower takes. Rows come in merge blocks, so that the `mergeSize²` patches of
 * one token follow each other; a row is [c, y, x], normalised in float32 as Hugging Face does it.
 */
import type { RgbImage } from './resize.ts';
import type { VisionMeta } from './vision-meta.ts';

const bytesPerPixel = 3;
const levels = 256;

/**
 * [channels, 256]: `(level · rescale − mean) / std`, each step rounded to float32: with the steps folded into one, half
 * of the levels differ from the reference in the last bit.
 */
const normalisedLevels = ({ imageMean, imageStd, rescaleFactor }: VisionMeta): Float32Array => {
  const table = new Float32Array(imageMean.length * levels);
  for (const [c, mean] of imageMean.entries()) {
    const std = Math.fround(imageStd[c] ?? 1);
    for (let level = 0; level < levels; level++) {
      const centred = Math.fround(Math.fround(level * rescaleFactor) - Math.fround(mean));
      table[c * levels + level] = centred / std;
    }
  }
  return table;
};

/**
 * One frame: [patches, channels · patchSize²], patches in merge-block order. Both sides of `image` must be multiples of
 * `patchSize · mergeSize`, as `smartResize` makes them.
 */
export const patchify = (image: RgbImage, meta: VisionMeta): Float32Array<ArrayBuffer> => {
  const { patchSize, mergeSize, inChannels } = meta;
  const { rgb, width, height } = image;
  const blockSize = patchSize * mergeSize;
  if (width % blockSize !== 0 || height % blockSize !== 0) {
    throw new RangeError(`cannot cut ${width}×${height} pixels into blocks of ${blockSize}`);
  }
  const table = normalisedLevels(meta);
  const patches = new Float32Array(width * height * inChannels);
  let at = 0;
  const writePatch = (top: number, left: number): void => {
    for (let c = 0; c < inChannels; c++) {
      const levelBase = c * levels;
      for (let y = top; y < top + patchSize; y++) {
        let from = (y * width + left) * bytesPerPixel + c;
        for (let x = 0; x < patchSize; x++) {
          // In range by the check above.
          patches[at] = table[levelBase + (rgb[from] as number)] as number;
          at += 1;
          from += bytesPerPixel;
        }
      }
    }
  };
  for (let blockTop = 0; blockTop < height; blockTop += blockSize) {
    for (let blockLeft = 0; blockLeft < width; blockLeft += blockSize) {
      for (let top = blockTop; top < blockTop + blockSize; top += patchSize) {
        for (let left = blockLeft; left < blockLeft + blockSize; left += patchSize) writePatch(top, left);
      }
    }
  }
  return patches;
};

/** The reference's `pixel_values`: [patches, c, t, y, x] from [patches, c, y, x], the one frame filling each t. */
export const duplicateTemporal = (patches: Float32Array, meta: VisionMeta): Float32Array<ArrayBuffer> => {
  const { patchSize, temporalPatchSize } = meta;
  const plane = patchSize * patchSize;
  const repeated = new Float32Array(patches.length * temporalPatchSize);
  for (let from = 0, at = 0; from < patches.length; from += plane) {
    const frame = patches.subarray(from, from + plane);
    for (let t = 0; t < temporalPatchSize; t++, at += plane) repeated.set(frame, at);
  }
  return repeated;
};
