/**
 * A request's images up to the point where the prompt can be built: bytes out of their URIs, sizes out of the headers,
 * every budget checked. No pixel is decoded here, so a request that asks too much costs next to nothing.
 */
import { CortexError } from '@cortex/core';
import { decodeDataUri } from './data-uri.ts';
import { readImageHeader, type ImageHeader } from './decode-image.ts';
import { planImage, type ImagePlan } from './image-plan.ts';
import type { Size } from './smart-resize.ts';
import type { VisionLimits } from './vision-limits.ts';
import type { VisionMeta } from './vision-meta.ts';

export interface PlannedImage {
  /** The file. Over shared memory it reaches the worker without a copy. */
  readonly bytes: Uint8Array;
  readonly header: ImageHeader;
  readonly plan: ImagePlan;
}

const tooLarge = (message: string, limit: number, got: number): CortexError =>
  new CortexError('request_too_large', message, { facts: { limit, got } });

const area = ({ width, height }: Size): number => width * height;

const megapixels = (pixels: number): string => `${(pixels / 1e6).toFixed(1)} megapixels`;

/** @throws CortexError `invalid_image` or `request_too_large`, as `planImages`. */
export const planImageFile = async (
  bytes: Uint8Array,
  meta: VisionMeta,
  limits: VisionLimits,
): Promise<PlannedImage> => {
  const header = await readImageHeader(bytes);
  const pixels = area(header.size);
  if (pixels > limits.decodedPixelsMax) {
    const { width, height } = header.size;
    throw tooLarge(
      `it is ${width}×${height}, ${megapixels(pixels)}; the limit is ${megapixels(limits.decodedPixelsMax)}`,
      limits.decodedPixelsMax,
      pixels,
    );
  }
  return { bytes, header, plan: planImage(header.size, meta) };
};

/** Says which of several images is at fault; the first is number 1 in words and 0 in the facts. */
const aboutImage = (thrown: unknown, iImage: number, nImages: number): CortexError => {
  const error = CortexError.from(thrown);
  return new CortexError(error.code, `image ${iImage + 1} of ${nImages}: ${error.message}`, {
    facts: { ...error.facts, image_index: iImage },
    cause: error,
  });
};

/**
 * Plans in the order of `urls`.
 * @throws CortexError `invalid_image` for what is no readable image, `request_too_large` for what is over `limits`;
 * facts `limit`, `got` and `image_index` where they apply.
 */
export const planImages = async (
  urls: readonly string[],
  meta: VisionMeta,
  limits: VisionLimits,
): Promise<PlannedImage[]> => {
  if (urls.length > limits.imagesMax) {
    throw tooLarge(
      `the request has ${urls.length} images; the limit is ${limits.imagesMax}`,
      limits.imagesMax,
      urls.length,
    );
  }
  const planned: PlannedImage[] = [];
  let decodedPixels = 0;
  let resizedPixels = 0;
  for (const [iImage, url] of urls.entries()) {
    try {
      const bytes = await decodeDataUri(url, limits.encodedBytesMax);
      const image = await planImageFile(bytes, meta, limits);
      decodedPixels += area(image.plan.decoded);
      resizedPixels += area(image.plan.resized);
      planned.push(image);
    } catch (error) {
      throw aboutImage(error, iImage, urls.length);
    }
    const totals = [
      ['decoded', decodedPixels, limits.decodedPixelsTotalMax],
      ['resized', resizedPixels, limits.resizedPixelsTotalMax],
    ] as const;
    for (const [stage, pixels, limit] of totals) {
      if (pixels <= limit) continue;
      throw tooLarge(
        `the first ${iImage + 1} of ${urls.length} images make ${megapixels(pixels)} ${stage}; ` +
          `the limit for one request is ${megapixels(limit)}`,
        limit,
        pixels,
      );
    }
  }
  return planned;
};
