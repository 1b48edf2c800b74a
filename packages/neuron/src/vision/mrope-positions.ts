/**
 * Three-axis rope positions of a prompt with images: text advances all axes together, an image's tokens share t and
 * count rows in h and columns in w. Follows Hugging Face's `get_rope_index` for still images.
 */
import { CortexError } from '@cortex/core';
import type { Grid } from './image-plan.ts';

export interface MropePositions {
  /** One position a token on each axis. */
  readonly t: Int32Array;
  readonly h: Int32Array;
  readonly w: Int32Array;
  /** `nextPosition − ids.length`: decoding continues at `index + ropeDelta` on all axes. At most 0. */
  readonly ropeDelta: number;
  readonly nextPosition: number;
}

const mismatch = (message: string): CortexError => new CortexError('internal_error', message);

/**
 * `mergedGrids` are the images' token grids in prompt order; runs of image pads are consumed grid by grid, so two
 * images' pads may touch.
 * @throws CortexError `internal_error` when the pads in `ids` are not exactly those the grids ask for.
 */
export const mropePositions = (ids: Int32Array, imageTokenId: number, mergedGrids: readonly Grid[]): MropePositions => {
  const t = new Int32Array(ids.length);
  const h = new Int32Array(ids.length);
  const w = new Int32Array(ids.length);
  let iImage = 0;
  let position = 0;
  let at = 0;
  while (at < ids.length) {
    if (ids[at] !== imageTokenId) {
      t[at] = position;
      h[at] = position;
      w[at] = position;
      position += 1;
      at += 1;
      continue;
    }
    const grid = mergedGrids[iImage];
    if (grid === undefined) {
      throw mismatch(`the prompt has an image pad at ${at} beyond those of its ${mergedGrids.length} images`);
    }
    for (let row = 0; row < grid.h; row++) {
      for (let column = 0; column < grid.w; column++, at++) {
        if (ids[at] !== imageTokenId) {
          const got = row * grid.w + column;
          throw mismatch(`image ${iImage} has ${grid.h * grid.w} tokens, but ${got} image pads in the prompt`);
        }
        t[at] = position;
        h[at] = position + row;
        w[at] = position + column;
      }
    }
    position += Math.max(grid.h, grid.w);
    iImage += 1;
  }
  if (iImage !== mergedGrids.length) {
    throw mismatch(`the prompt has pads for ${iImage} images, but ${mergedGrids.length} images came with it`);
  }
  return { t, h, w, ropeDelta: position - ids.length, nextPosition: position };
};
