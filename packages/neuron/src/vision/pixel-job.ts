/** What passes between the pixel pool and its worker threads: plain data, one answer to each job. */
import type { ErrorData } from '@cortex/core';
import type { PlannedImage } from './plan-images.ts';
import type { PreparedImage } from './prepare-image.ts';
import type { VisionMeta } from './vision-meta.ts';

export interface PixelJob {
  readonly image: PlannedImage;
  readonly meta: VisionMeta;
}

export type PixelAnswer =
  | { readonly kind: 'prepared'; readonly image: PreparedImage }
  | { readonly kind: 'failed'; readonly error: ErrorData };
