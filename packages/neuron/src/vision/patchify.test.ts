import { describe, expect, it } from 'vitest';
import { fixtureBytes, fixtureJson, fixtureNames, fixtureTensors } from '../../test/reference-files.ts';
import { duplicateTemporal, patchify } from './patchify.ts';
import { planImageFile } from './plan-images.ts';
import { prepareImage } from './prepare-image.ts';
import { defaultVisionLimits } from './vision-limits.ts';
import { parseVisionMeta, type VisionMeta } from './vision-meta.ts';

const meta = parseVisionMeta({
  config: fixtureJson('models/qwen3_5-vl-tiny/config.json'),
  preprocessor: fixtureJson('models/qwen3_5-vl-tiny/preprocessor_config.json'),
})!;

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

const folder = 'cases/qwen3_5-vl-tiny';

describe('patchify', () => {
  it('gives the reference its pixel_values, bit for bit', async () => {
    let nCompared = 0;
    for (const name of fixtureNames(folder, '.safetensors')) {
      const tensors = fixtureTensors(`${folder}/${name}`);
      const pixelValues = tensors.get('pixel_values');
      if (pixelValues === undefined) continue;
      const { images } = fixtureJson<{ images: [string] }>(`${folder}/${name.replace('.safetensors', '.json')}`);
      const planned = await planImageFile(fixtureBytes(`images/${images[0]}`), meta, defaultVisionLimits);
      const prepared = await prepareImage(planned, meta);
      expect([...tensors.get('image_grid_thw')!.values]).toEqual([1, prepared.grid.h, prepared.grid.w]);
      expect(Buffer.compare(bytesOf(duplicateTemporal(prepared.patches, meta)), bytesOf(pixelValues.values))).toBe(0);
      nCompared += 1;
    }
    expect(nCompared).toBeGreaterThan(0);
  });

  it('puts the patches of one token next to each other, and a row in c, y, x order', () => {
    const tiny: VisionMeta = { ...meta, patchSize: 1, mergeSize: 2, imageMean: [0, 0, 0], imageStd: [1, 1, 1] };
    // Two blocks of 2×2 pixels; pixel i has the levels 10·i, 10·i + 1, 10·i + 2.
    const rgb = Uint8Array.from({ length: 4 * 2 * 3 }, (_, i) => Math.floor(i / 3) * 10 + (i % 3));
    const patches = patchify({ width: 4, height: 2, rgb }, { ...tiny, rescaleFactor: 1 });
    const order = [...patches].filter((_, i) => i % 3 === 0).map((level) => level / 10);
    expect(order).toEqual([0, 1, 4, 5, 2, 3, 6, 7]);
    expect([...patches.subarray(0, 3)]).toEqual([0, 1, 2]);
  });

  it('normalises each channel by its own mean and deviation', () => {
    const own: VisionMeta = { ...meta, patchSize: 1, mergeSize: 1, imageMean: [0, 0.5, 1], imageStd: [1, 0.5, 0.25] };
    const patches = patchify({ width: 1, height: 1, rgb: Uint8Array.from([255, 255, 0]) }, own);
    expect([...patches]).toEqual([1, 1, -4]);
  });

  it('refuses a size that is no multiple of a block', () => {
    expect(() => patchify({ width: 48, height: 32, rgb: new Uint8Array(48 * 32 * 3) }, meta)).toThrow(RangeError);
  });
});
