/** What an image will become, known from its size alone: the resized size, the patch grid and the token count. */
import { smartResize, type Size } from './smart-resize.ts';
import type { VisionMeta } from './vision-meta.ts';

/** Rows and columns of patches, or of merged tokens. */
export interface Grid {
  readonly h: number;
  readonly w: number;
}

export interface ImagePlan {
  /** Pixels after the EXIF turn, before the resize. */
  readonly decoded: Size;
  readonly resized: Size;
  /** In patches: `resized / patchSize`. */
  readonly grid: Grid;
  /** In language-model tokens: `grid / mergeSize`. */
  readonly mergedGrid: Grid;
  /** `mergedGrid.h · mergedGrid.w`: image pads in the prompt. */
  readonly nTokens: number;
}

/** @throws CortexError `invalid_image` for an aspect ratio the model's preprocessing refuses. */
export const planImage = (decoded: Size, meta: VisionMeta): ImagePlan => {
  const { patchSize, mergeSize, minPixels, maxPixels } = meta;
  const resized = smartResize(decoded, { factor: patchSize * mergeSize, minPixels, maxPixels });
  const grid = { h: resized.height / patchSize, w: resized.width / patchSize };
  const mergedGrid = { h: grid.h / mergeSize, w: grid.w / mergeSize };
  return { decoded, resized, grid, mergedGrid, nTokens: mergedGrid.h * mergedGrid.w };
};
