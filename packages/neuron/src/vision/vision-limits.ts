/** What one request may ask of the pixel path. Each limit is checked before the work it bounds. */
export interface VisionLimits {
  /** Images in one request. */
  readonly imagesMax: number;
  /** Bytes of one image file, base64 taken off. */
  readonly encodedBytesMax: number;
  /** Pixels of one image as its header states them. */
  readonly decodedPixelsMax: number;
  /** The same, over all images of a request. */
  readonly decodedPixelsTotalMax: number;
  /** Pixels after the resize, over all images of a request: 12 bytes of memory each. */
  readonly resizedPixelsTotalMax: number;
}

const mebi = 2 ** 20;

export const defaultVisionLimits: VisionLimits = {
  imagesMax: 64,
  encodedBytesMax: 64 * mebi,
  decodedPixelsMax: 64 * mebi,
  decodedPixelsTotalMax: 256 * mebi,
  resizedPixelsTotalMax: 64 * mebi,
};
