import { CortexError } from '@cortex/core';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { chwSha256, fixtureBytes, fixtureJson } from '../../test/reference-files.ts';
import { decodeImage, readImageHeader, sniffFormat } from './decode-image.ts';
import { resizeRgb, type RgbImage } from './resize.ts';

interface Expected {
  images: {
    image: string;
    decoded: [number, number, number];
    resized: [number, number, number];
    rgb_sha256: string | null;
    resized_sha256: string | null;
  }[];
}

const { images } = fixtureJson<Expected>('preprocess/expected.json');

const decode = async (bytes: Uint8Array): Promise<RgbImage> => decodeImage(bytes, await readImageHeader(bytes));

const pixels = (image: RgbImage): number[][] =>
  Array.from({ length: image.width * image.height }, (_, i) => [...image.rgb.subarray(i * 3, i * 3 + 3)]);

const rgbaPng = (rgba: number[], width: number): Promise<Buffer> =>
  sharp(Uint8Array.from(rgba), { raw: { width, height: rgba.length / 4 / width, channels: 4 } })
    .png()
    .toBuffer();

const colourPng = (background: string): Promise<Buffer> =>
  sharp({ create: { width: 4, height: 3, channels: 3, background } })
    .png()
    .toBuffer();

const refusal = async (bytes: Uint8Array): Promise<string> => {
  const thrown = await decode(bytes).then(
    () => new Error('the image was accepted'),
    (error: unknown) => error,
  );
  if (thrown instanceof CortexError && thrown.code === 'invalid_image') return thrown.message;
  throw thrown;
};

describe('decodeImage against the reference', () => {
  const exact = images.filter(({ rgb_sha256 }) => rgb_sha256 !== null);

  it('has lossless images of every kind to be held against', () => {
    expect(exact.length).toBeGreaterThanOrEqual(11);
  });

  it.each(exact)('decodes $image to the same pixels, and resizes it to the same', async (expected) => {
    const image = await decode(fixtureBytes(`images/${expected.image}`));
    expect(chwSha256(image)).toBe(expected.rgb_sha256);
    const [, height, width] = expected.resized;
    expect(chwSha256(resizeRgb(image, { width, height }))).toBe(expected.resized_sha256);
  });

  it.each(images)('knows the size of $image from its header alone', async ({ image, decoded: [, height, width] }) => {
    const header = await readImageHeader(fixtureBytes(`images/${image}`));
    expect(header.size).toEqual({ width, height });
  });
});

describe('decodeImage', () => {
  it('shows white through transparent pixels', async () => {
    const image = await decode(await rgbaPng([255, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255, 128, 0, 0, 0, 51], 2));
    expect(pixels(image)).toEqual([
      [255, 0, 0],
      [255, 255, 255],
      [127, 127, 255],
      [204, 204, 204],
    ]);
  });

  it('shows white through a transparent palette colour of a GIF', async () => {
    const gif = await sharp(await rgbaPng([255, 0, 0, 255, 0, 0, 0, 0], 2))
      .gif()
      .toBuffer();
    expect(pixels(await decode(gif))).toEqual([
      [255, 0, 0],
      [255, 255, 255],
    ]);
  });

  it('takes the first frame of an animation', async () => {
    const frames = [await colourPng('#f00'), await colourPng('#00f')];
    for (const format of ['gif', 'webp'] as const) {
      const animation = await sharp(frames, { join: { animated: true } })
        .toFormat(format, format === 'webp' ? { lossless: true } : {})
        .toBuffer();
      expect((await sharp(animation).metadata()).pages).toBe(2);
      const image = await decode(animation);
      expect([image.width, image.height]).toEqual([4, 3]);
      expect(new Set(pixels(image).map(String))).toEqual(new Set(['255,0,0']));
    }
  });

  it('turns by EXIF in every format that carries it', async () => {
    const wide = sharp({ create: { width: 8, height: 2, channels: 3, background: 'red' } });
    for (const format of ['jpeg', 'png', 'webp'] as const) {
      const turned = await wide.clone().withMetadata({ orientation: 6 }).toFormat(format).toBuffer();
      expect((await readImageHeader(turned)).size).toEqual({ width: 2, height: 8 });
      expect(await decode(turned)).toMatchObject({ width: 2, height: 8 });
    }
  });

  it('keeps the high byte of 16-bit colour', async () => {
    const deep = Uint16Array.from([0x12ff, 0x80_00, 0xff_fe]);
    const png = await sharp(deep, { raw: { width: 1, height: 1, channels: 3 } })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    expect((await sharp(png).metadata()).depth).toBe('ushort');
    expect(pixels(await decode(png))).toEqual([[0x12, 0x80, 0xff]]);
  });

  it('mixes CMYK inks without a profile, as the reference does', async () => {
    const photo = await sharp({ create: { width: 32, height: 32, channels: 3, background: { r: 255, g: 0, b: 0 } } })
      .toColourspace('cmyk')
      .jpeg({ quality: 100 })
      .toBuffer();
    const header = await readImageHeader(photo);
    expect(header.isCmyk).toBe(true);
    const { data } = await sharp(photo, { ignoreIcc: true })
      .pipelineColourspace('cmyk')
      .toColourspace('cmyk')
      .raw()
      .toBuffer({ resolveWithObject: true });
    const [cyan = 0, magenta = 0, yellow = 0, black = 0] = data;
    const light = 255 - black;
    const expected = [cyan, magenta, yellow].map((ink) => Math.round(light - (ink * light) / 255));
    expect(pixels(await decode(photo))[0]).toEqual(expected);
  });

  it('ignores colour profiles, as the reference does', async () => {
    const background = { r: 200, g: 40, b: 90 };
    const wideGamut = await sharp({ create: { width: 2, height: 2, channels: 3, background } })
      .withIccProfile('p3', { attach: true })
      .png()
      .toBuffer();
    const { data } = await sharp(wideGamut, { ignoreIcc: true }).raw().toBuffer({ resolveWithObject: true });
    expect([...(await decode(wideGamut)).rgb]).toEqual([...data]);
    expect((await sharp(wideGamut).metadata()).hasProfile).toBe(true);
  });
});

describe('hostile images', () => {
  const wide = fixtureBytes('images/wide.jpg');
  const truncatable = async (format: 'png' | 'jpeg' | 'webp' | 'gif'): Promise<Buffer> =>
    sharp(wide).resize(200, 100).toFormat(format).toBuffer();

  it.each(['png', 'jpeg', 'webp', 'gif'] as const)('refuses a truncated %s wherever it is cut', async (format) => {
    const whole = await truncatable(format);
    for (const share of [0.02, 0.3, 0.6, 0.9]) {
      const message = await refusal(whole.subarray(0, Math.floor(whole.length * share)));
      expect(message).toMatch(/^the image/);
    }
  });

  it.each([
    ['nothing', new Uint8Array()],
    ['text', new TextEncoder().encode('a picture of a cat')],
    ['an SVG', new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')],
    ['a PDF', new TextEncoder().encode('%PDF-1.7\n')],
    ['a BMP', Uint8Array.from([0x42, 0x4d, 0, 0, 0, 0])],
  ])('refuses %s', async (_what, bytes) => {
    expect(await refusal(bytes)).toBe('the image is not a PNG, JPEG, WebP or GIF file');
  });

  it.each([
    ['PNG', '\u0089PNG\r\n\u001A\n'],
    ['JPEG', '\u00FF\u00D8\u00FF\u00E0'],
    ['GIF', 'GIF89a'],
    ['WebP', 'RIFF....WEBPVP8 '],
  ])('refuses a %s signature followed by noise', async (_what, signature) => {
    const noise = Buffer.from(Array.from({ length: 500 }, (_, i) => (i * 193) % 256));
    expect(await refusal(Buffer.concat([Buffer.from(signature, 'latin1'), noise]))).toMatch(/^the image/);
  });

  it('survives any corruption of a real file: pixels or a refusal', async () => {
    for (const format of ['png', 'jpeg', 'webp', 'gif'] as const) {
      const whole = await truncatable(format);
      for (let i = 0; i < 25; i++) {
        const damaged = Uint8Array.from(whole);
        for (let k = 0; k < 4; k++) {
          const at = (i * 7919 + k * 104_729) % damaged.length;
          damaged[at] = (damaged[at] ?? 0) ^ (1 << ((i + k) % 8));
        }
        const result = await decode(damaged).then(
          () => 'pixels',
          (error: unknown) => (error instanceof CortexError ? error.code : error),
        );
        expect(['pixels', 'invalid_image']).toContain(result);
      }
    }
  });

  it('tells formats by their first bytes', () => {
    expect(sniffFormat(wide)).toBe('jpeg');
    expect(sniffFormat(fixtureBytes('images/lossless.webp'))).toBe('webp');
    expect(sniffFormat(wide.subarray(0, 2))).toBeNull();
  });
});
