/** The daemon's way from `image_url`s to patch rows: plan first, for the prompt and its checks, then prepare. */
import { PixelPool, type PixelPoolOptions } from './pixel-pool.ts';
import { planImages, type PlannedImage } from './plan-images.ts';
import type { PreparedImage } from './prepare-image.ts';
import type { VisionLimits } from './vision-limits.ts';
import type { VisionMeta } from './vision-meta.ts';

export interface ImagePreparerOptions extends PixelPoolOptions {
  readonly limits: VisionLimits;
}

export class ImagePreparer {
  readonly #limits: VisionLimits;
  readonly #pool: PixelPool;

  constructor({ limits, ...pool }: ImagePreparerOptions) {
    this.#limits = limits;
    this.#pool = new PixelPool(pool);
  }

  /** Sizes and token counts from the headers alone. @throws as `planImages`. */
  plan(urls: readonly string[], meta: VisionMeta): Promise<PlannedImage[]> {
    return planImages(urls, meta, this.#limits);
  }

  /**
   * Patches of planned images, in their order. The first failure drops the request's other images. A request holds at
   * most as many places as there are threads, so one with many images does not starve the others.
   * @throws CortexError `invalid_image`, `overloaded`; the signal's reason once it is aborted.
   */
  async prepare(planned: readonly PlannedImage[], meta: VisionMeta, signal?: AbortSignal): Promise<PreparedImage[]> {
    const failure = new AbortController();
    const stop = signal === undefined ? failure.signal : AbortSignal.any([signal, failure.signal]);
    const prepared: PreparedImage[] = [];
    const queue = planned.entries();
    const lane = async (): Promise<void> => {
      for (const [iImage, image] of queue) prepared[iImage] = await this.#pool.run({ image, meta }, stop);
    };
    try {
      await Promise.all(Array.from({ length: Math.min(planned.length, this.#pool.threadsMax) }, lane));
    } catch (error) {
      failure.abort(error);
      throw error;
    }
    return prepared;
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
