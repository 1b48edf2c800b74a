import { CortexError } from '@cortex/core';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { dataUri, fixtureBytes, fixtureJson } from '../../test/reference-files.ts';
import { ImagePreparer } from './image-preparer.ts';
import { planImageFile } from './plan-images.ts';
import { prepareImage } from './prepare-image.ts';
import { defaultVisionLimits, type VisionLimits } from './vision-limits.ts';
import { parseVisionMeta } from './vision-meta.ts';

interface Expected {
  images: { image: string; grid_thw: [number, number, number]; lm_tokens: number }[];
}

const { images } = fixtureJson<Expected>('preprocess/expected.json');
const meta = parseVisionMeta({
  config: fixtureJson('models/qwen3_5-vl-tiny/config.json'),
  preprocessor: fixtureJson('models/qwen3_5-vl-tiny/preprocessor_config.json'),
})!;

const preparers: ImagePreparer[] = [];
const start = (limits: Partial<VisionLimits> = {}, queueMax = 100): ImagePreparer => {
  const preparer = new ImagePreparer({ threadsMax: 2, queueMax, limits: { ...defaultVisionLimits, ...limits } });
  preparers.push(preparer);
  return preparer;
};
afterAll(() => Promise.all(preparers.map((preparer) => preparer.close())));

const fixtureUri = (name: string): string => dataUri(fixtureBytes(`images/${name}`));

const blank = async (width: number, height: number): Promise<string> =>
  dataUri(
    await sharp({ create: { width, height, channels: 3, background: 'teal' } })
      .png()
      .toBuffer(),
  );

/** A PNG whose header claims any size over the pixels of a small one. */
const lyingPng = async (width: number, height: number): Promise<Uint8Array> => {
  const { crc32 } = await import('node:zlib');
  const png = await sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } })
    .png()
    .toBuffer();
  png.writeUInt32BE(width, 16);
  png.writeUInt32BE(height, 20);
  png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
  return png;
};

const failure = async (work: Promise<unknown>): Promise<CortexError> => {
  const thrown = await work.then(
    () => new Error('was accepted'),
    (error: unknown) => error,
  );
  if (!(thrown instanceof CortexError)) throw thrown;
  return thrown;
};

// Starting a thread from source costs a second: tests that leave the pool as they found it share one.
const shared = start();

describe('ImagePreparer.plan', () => {
  it('knows grids and token counts of all reference images', async () => {
    const planned = await start().plan(
      images.map(({ image }) => fixtureUri(image)),
      meta,
    );
    expect(planned.map(({ plan }) => [plan.grid.h, plan.grid.w, plan.nTokens])).toEqual(
      images.map(({ grid_thw: [, h, w], lm_tokens }) => [h, w, lm_tokens]),
    );
  });

  it('refuses 100 images', async () => {
    const uri = fixtureUri('small-96x64.png');
    const error = await failure(
      start().plan(
        Array.from({ length: 100 }, () => uri),
        meta,
      ),
    );
    expect(error).toMatchObject({ code: 'request_too_large', facts: { limit: 64, got: 100 } });
  });

  it('refuses a decompression bomb by its header', async () => {
    const bomb = dataUri(await lyingPng(60_000, 60_000));
    expect(await failure(start().plan([bomb], meta))).toMatchObject({
      code: 'request_too_large',
      message: 'image 1 of 1: it is 60000×60000, 3600.0 megapixels; the limit is 67.1 megapixels',
    });
  });

  it('refuses more pixels over all images than the budget, before and after the resize', async () => {
    const uris = [await blank(400, 300), await blank(400, 300)];
    const decoded = await failure(start({ decodedPixelsTotalMax: 200_000 }).plan(uris, meta));
    expect(decoded).toMatchObject({ code: 'request_too_large', facts: { limit: 200_000, got: 240_000 } });
    const resized = await failure(start({ resizedPixelsTotalMax: 200_000 }).plan(uris, meta));
    expect(resized).toMatchObject({ code: 'request_too_large', facts: { limit: 200_000, got: 2 * 384 * 288 } });
  });

  it('says which image is at fault', async () => {
    const error = await failure(start().plan([fixtureUri('grey.png'), 'https://example.com/x.png'], meta));
    expect(error).toMatchObject({
      code: 'invalid_image',
      message: expect.stringMatching(/^image 2 of 2: .*data: URIs only/) as string,
      facts: { image_index: 1 },
    });
  });

  it('refuses a sliver no resize can serve', async () => {
    expect(await failure(start().plan([await blank(2010, 10)], meta))).toMatchObject({ code: 'invalid_image' });
  });
});

describe('ImagePreparer.prepare', () => {
  it('gives, in order, what one image at a time gives', async () => {
    const names = ['grey16.png', 'portrait.png', 'wide.jpg', 'rgba.png', 'exif-rotated-6.jpg'];
    const planned = await shared.plan(names.map(fixtureUri), meta);
    const prepared = await shared.prepare(planned, meta);
    for (const [i, name] of names.entries()) {
      const alone = await planImageFile(fixtureBytes(`images/${name}`), meta, defaultVisionLimits);
      const { patches, ...facts } = await prepareImage(alone, meta);
      const pooled = prepared.at(i);
      expect(pooled).toMatchObject(facts);
      expect(pooled?.patches).toHaveLength(facts.grid.h * facts.grid.w * 3 * 16 * 16);
      expect(Buffer.from(pooled!.patches.buffer).equals(Buffer.from(patches.buffer))).toBe(true);
    }
    expect(new Set(prepared.map(({ contentHash }) => contentHash)).size).toBe(names.length);
  });

  it('can prepare the same plan twice, to the same hash', async () => {
    const planned = await shared.plan([fixtureUri('palette.png')], meta);
    const [once] = await shared.prepare(planned, meta);
    const [again] = await shared.prepare(planned, meta);
    expect(again?.contentHash).toBe(once?.contentHash);
  });

  it('refuses a damaged file and goes on serving', async () => {
    const cut = dataUri(fixtureBytes('images/wide.jpg').subarray(0, 9000), 'image/jpeg');
    const lie = dataUri(await lyingPng(5000, 4000));
    for (const uri of [cut, lie]) {
      const planned = await shared.plan([fixtureUri('grey.png'), uri], meta);
      expect(await failure(shared.prepare(planned, meta))).toMatchObject({ code: 'invalid_image' });
    }
    const planned = await shared.plan([fixtureUri('grey.png')], meta);
    expect(await shared.prepare(planned, meta)).toHaveLength(1);
  });

  it('takes a 60-megapixel photo, and refuses it clearly under a lower limit', async () => {
    const photo = await sharp({ create: { width: 9000, height: 6700, channels: 3, background: 'olive' } })
      .jpeg()
      .toBuffer();
    const uri = dataUri(photo, 'image/jpeg');
    const prepared = await shared.prepare(await shared.plan([uri], meta), meta);
    // 67:90, within 200704 pixels.
    expect(prepared).toMatchObject([{ mergedGrid: { h: 12, w: 16 }, nTokens: 192 }]);
    expect(await failure(start({ decodedPixelsMax: 50e6 }).plan([uri], meta))).toMatchObject({
      code: 'request_too_large',
      message: 'image 1 of 1: it is 9000×6700, 60.3 megapixels; the limit is 50.0 megapixels',
    });
  });

  it('stops at an abort, leaving the pool for others', async () => {
    const planned = await shared.plan(
      Array.from({ length: 20 }, () => fixtureUri('landscape.png')),
      meta,
    );
    const client = new AbortController();
    const work = shared.prepare(planned, meta, client.signal);
    const left = new CortexError('client_closed_request', 'the client left');
    client.abort(left);
    await expect(work).rejects.toBe(left);
    await expect(shared.prepare(planned.slice(0, 1), meta, client.signal)).rejects.toBe(left);
    expect(await shared.prepare(planned.slice(0, 1), meta)).toHaveLength(1);
  });

  it('answers overloaded when its queue is full', async () => {
    const preparer = start({}, 1);
    const planned = await preparer.plan([fixtureUri('landscape.png')], meta);
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => preparer.prepare(planned, meta)));
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    expect(refused).toHaveLength(5);
    for (const reason of refused) expect(reason).toMatchObject({ code: 'overloaded', facts: { limit: 1 } });
  });

  it('fails what is running when it closes, and everything after', async () => {
    const preparer = start();
    const planned = await preparer.plan(
      Array.from({ length: 4 }, () => fixtureUri('square-448.png')),
      meta,
    );
    const work = failure(preparer.prepare(planned, meta));
    await preparer.close();
    expect((await work).code).toBe('overloaded');
    expect((await failure(preparer.prepare(planned, meta))).code).toBe('overloaded');
  });
});
