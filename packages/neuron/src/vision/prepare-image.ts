/** One image from file bytes to patch rows: decode, resize, patchify. Takes long; serve requests through the preparer. */
import { createHash } from 'node:crypto';
import { decodeImage } from './decode-image.ts';
import type { Grid } from './image-plan.ts';
import { patchify } from './patchify.ts';
import type { PlannedImage } from './plan-images.ts';
import { resizeRgb, type RgbImage } from './resize.ts';
import type { VisionMeta } from './vision-meta.ts';

export interface PreparedImage {
  /** In patches. */
  readonly grid: Grid;
  /** In tokens. */
  readonly mergedGrid: Grid;
  readonly nTokens: number;
  /** [grid.h · grid.w, channels · patchSize²], one frame, rows in merge-block order. */
  readonly patches: Float32Array<ArrayBuffer>;
  /** sha256, hex, of the resized pixels and their size: equal for what the tower cannot tell apart. */
  readonly contentHash: string;
}

const contentHash = ({ width, height, rgb }: RgbImage): string =>
  createHash('sha256').update(`${width}x${height} `).update(rgb).digest('hex');

/** @throws CortexError `invalid_image` when the file is damaged or not what its header said. */
export const prepareImage = async (image: PlannedImage, meta: VisionMeta): Promise<PreparedImage> => {
  const { resized, grid, mergedGrid, nTokens } = image.plan;
  const pixels = resizeRgb(await decodeImage(image.bytes, image.header), resized);
  return { grid, mergedGrid, nTokens, patches: patchify(pixels, meta), contentHash: contentHash(pixels) };
};
