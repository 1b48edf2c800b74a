/**
 * An image file to upright 8-bit RGB, as Pillow's `convert("RGB")` gives it after the EXIF turn, except that
 * transparent pixels show white. Colour profiles are ignored, as the reference ignores them. The size comes from the
 * header and is judged by the caller before any pixel is decoded.
 */
import { CortexError } from '@cortex/core';
import sharp, { type Metadata, type OutputInfo } from 'sharp';
import type { RgbImage } from './resize.ts';
import type { Size } from './smart-resize.ts';

export type ImageFormat = 'png' | 'jpeg' | 'webp' | 'gif';

export interface ImageHeader {
  readonly format: ImageFormat;
  /** Pixels after the EXIF turn. */
  readonly size: Size;
  /** Ink, not light: the decoder cannot be left to convert it, or a profile would decide the colours. */
  readonly isCmyk: boolean;
}

const decodeSecsMax = 30;

const invalid = (message: string, cause?: unknown): CortexError => new CortexError('invalid_image', message, { cause });

/** The decoder's own words, first line only: it says `premature end of JPEG image` better than we could. */
const decodeFailure = (thrown: unknown): CortexError => {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return invalid(`the image cannot be decoded: ${text.trim().split('\n', 1)[0] ?? ''}`, thrown);
};

const startsWith = (bytes: Uint8Array, signature: string, at = 0): boolean =>
  bytes.length >= at + signature.length &&
  Array.from(signature).every((char, i) => bytes[at + i] === char.charCodeAt(0));

/** By the file's first bytes; the declared media type is often wrong and never asked. */
export const sniffFormat = (bytes: Uint8Array): ImageFormat | null => {
  if (startsWith(bytes, '\u0089PNG\r\n\u001A\n')) return 'png';
  if (startsWith(bytes, '\u00FF\u00D8\u00FF')) return 'jpeg';
  if (startsWith(bytes, 'GIF87a') || startsWith(bytes, 'GIF89a')) return 'gif';
  if (startsWith(bytes, 'RIFF') && startsWith(bytes, 'WEBP', 8)) return 'webp';
  return null;
};

/**
 * Reads the header only.
 * @throws CortexError `invalid_image` when the bytes are no PNG, JPEG, WebP or GIF.
 */
export const readImageHeader = async (bytes: Uint8Array): Promise<ImageHeader> => {
  const format = sniffFormat(bytes);
  if (format === null) throw invalid('the image is not a PNG, JPEG, WebP or GIF file');
  let metadata: Metadata;
  try {
    // Unlimited here, so that a bomb is refused by our limits, with its numbers, and not by the library's.
    metadata = await sharp(bytes, { limitInputPixels: false }).metadata();
  } catch (error) {
    throw decodeFailure(error);
  }
  const size = metadata.autoOrient;
  if (metadata.format !== format || !(size.width >= 1 && size.height >= 1)) {
    throw invalid(`the image's header says ${metadata.format} of ${size.width}×${size.height} pixels`);
  }
  return { format, size, isCmyk: metadata.space === 'cmyk' };
};

/** `a · b / 255`, rounded, for a and b in 0..255: exact without a division. */
const mulDiv255 = (a: number, b: number): number => {
  const product = a * b + 128;
  return (product + (product >> 8)) >> 8;
};

type FourToRgb = (rgb: Uint8Array, at: number, a: number, b: number, c: number, d: number) => void;

const overWhite: FourToRgb = (rgb, at, red, green, blue, alpha) => {
  const white = 255 - alpha;
  rgb[at] = white + mulDiv255(red, alpha);
  rgb[at + 1] = white + mulDiv255(green, alpha);
  rgb[at + 2] = white + mulDiv255(blue, alpha);
};

const inkToLight: FourToRgb = (rgb, at, cyan, magenta, yellow, black) => {
  const light = 255 - black;
  rgb[at] = light - mulDiv255(cyan, light);
  rgb[at + 1] = light - mulDiv255(magenta, light);
  rgb[at + 2] = light - mulDiv255(yellow, light);
};

const fourToRgb = (pixels: Uint8Array, convert: FourToRgb): Uint8Array => {
  const rgb = new Uint8Array((pixels.length / 4) * 3);
  for (let from = 0, at = 0; from < pixels.length; from += 4, at += 3) {
    // Four values a pixel: in range.
    convert(
      rgb,
      at,
      pixels[from] as number,
      pixels[from + 1] as number,
      pixels[from + 2] as number,
      pixels[from + 3] as number,
    );
  }
  return rgb;
};

const rawPixels = async (bytes: Uint8Array, header: ImageHeader): Promise<{ data: Uint8Array; info: OutputInfo }> => {
  const { width, height } = header.size;
  const upright = sharp(bytes, { failOn: 'error', ignoreIcc: true, limitInputPixels: width * height })
    .timeout({ seconds: decodeSecsMax })
    .autoOrient();
  const coloured = header.isCmyk
    ? upright.pipelineColourspace('cmyk').toColourspace('cmyk')
    : upright.toColourspace('srgb');
  try {
    return await coloured.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  } catch (error) {
    throw decodeFailure(error);
  }
};

/**
 * The first frame of the file `header` was read from, [height, width, 3]. 16-bit channels keep their high byte.
 * @throws CortexError `invalid_image` when the file is truncated, damaged, or not what its header says.
 */
export const decodeImage = async (bytes: Uint8Array, header: ImageHeader): Promise<RgbImage> => {
  const { width, height } = header.size;
  const { data, info } = await rawPixels(bytes, header);
  const nChannels = header.isCmyk ? 4 : info.channels;
  if (info.width !== width || info.height !== height || data.length !== width * height * nChannels) {
    throw invalid(`the image decodes to ${info.width}×${info.height} pixels, its header says ${width}×${height}`);
  }
  if (nChannels === 3) return { width, height, rgb: data };
  if (nChannels !== 4) throw invalid(`the image decodes to ${nChannels} channels`);
  return { width, height, rgb: fourToRgb(data, header.isCmyk ? inkToLight : overWhite) };
};
