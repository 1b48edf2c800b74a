import { describe, expect, it } from 'vitest';
import { fixtureJson } from '../../test/reference-files.ts';
import { parseVisionMeta } from './vision-meta.ts';

type Json = Record<string, unknown>;

const config = fixtureJson<Json>('models/qwen3_5-vl-tiny/config.json');
const preprocessor = fixtureJson<Json>('models/qwen3_5-vl-tiny/preprocessor_config.json');
const tower = config['vision_config'] as Json;

const without = (object: Json, ...keys: string[]): Json =>
  Object.fromEntries(Object.entries(object).filter(([key]) => !keys.includes(key)));

const withTower = (fields: Json): Json => ({ ...config, vision_config: { ...tower, ...fields } });

const boundsUnder = (pixelsMax: number) => {
  const meta = parseVisionMeta({ config, preprocessor, pixelsMax });
  return [meta?.minPixels, meta?.maxPixels];
};

describe('parseVisionMeta', () => {
  it('reads a checkpoint, with size as areas in pixels', () => {
    expect(parseVisionMeta({ config, preprocessor })).toEqual({
      patchSize: 16,
      temporalPatchSize: 2,
      mergeSize: 2,
      inChannels: 3,
      imageTokenId: 632,
      videoTokenId: 633,
      visionStartTokenId: 629,
      visionEndTokenId: 630,
      minPixels: 65536,
      maxPixels: 200704,
      imageMean: [0.5, 0.5, 0.5],
      imageStd: [0.5, 0.5, 0.5],
      rescaleFactor: 1 / 255,
    });
  });

  it('is null for a checkpoint without a tower', () => {
    expect(parseVisionMeta({ config: without(config, 'vision_config'), preprocessor: null })).toBeNull();
    expect(parseVisionMeta({ config: { ...config, vision_config: null }, preprocessor })).toBeNull();
    expect(parseVisionMeta({ config: 'text', preprocessor })).toBeNull();
  });

  it('takes min_pixels and max_pixels, which win over size', () => {
    const pixels = { min_pixels: 4096, max_pixels: 90_000 };
    const bounds = { minPixels: 4096, maxPixels: 90_000 };
    expect(parseVisionMeta({ config, preprocessor: { ...preprocessor, ...pixels } })).toMatchObject(bounds);
    expect(parseVisionMeta({ config, preprocessor: { ...without(preprocessor, 'size'), ...pixels } })).toMatchObject(
      bounds,
    );
  });

  it('reads the image_processor inside a processor_config.json', () => {
    const nested = { image_processor: preprocessor, processor_class: 'x' };
    expect(parseVisionMeta({ config, preprocessor: nested })).toMatchObject({ maxPixels: 200704 });
  });

  it('lets the operator lower the pixel limit, never raise it', () => {
    expect(boundsUnder(100_000)).toEqual([65536, 100_000]);
    expect(boundsUnder(10_000)).toEqual([10_000, 10_000]);
    expect(boundsUnder(1e9)).toEqual([65536, 200704]);
  });

  const refused: [string, unknown, unknown, RegExp][] = [
    ['no preprocessor file', config, null, /no preprocessor_config\.json/],
    ['a preprocessor that is no object', config, [1], /preprocessor_config\.json/],
    ['no image token', without(config, 'image_token_id'), preprocessor, /config\.json: image_token_id/],
    ['a negative image token', { ...config, image_token_id: -1 }, preprocessor, /image_token_id/],
    ['a tower that is no object', { ...config, vision_config: 7 }, preprocessor, /config\.json: vision_config/],
    ['a patch size of 0', withTower({ patch_size: 0 }), preprocessor, /vision_config\.patch_size/],
    ['a patch size of text', withTower({ patch_size: '16' }), preprocessor, /vision_config\.patch_size/],
    ['an absurd merge size', withTower({ spatial_merge_size: 1e9 }), preprocessor, /spatial_merge_size/],
    ['channels other than RGB', withTower({ in_channels: 4 }), preprocessor, /in_channels.*expected 3/],
    ['patch sizes that differ', withTower({ patch_size: 14 }), preprocessor, /patch_size 16.*says 14/],
    ['merge sizes that differ', config, { ...preprocessor, merge_size: 4 }, /merge_size 4.*says 2/],
    ['temporal sizes that differ', config, { ...preprocessor, temporal_patch_size: 1 }, /temporal_patch_size 1/],
    ['no area', config, without(preprocessor, 'size'), /longest_edge/],
    ['a least area above the greatest', config, { ...preprocessor, min_pixels: 300_000 }, /300000 is above/],
    ['a greatest area below one token', config, { ...preprocessor, min_pixels: 1, max_pixels: 1023 }, /below one/],
    ['an absurd area', config, { ...preprocessor, max_pixels: 1e15 }, /max_pixels/],
    ['a fractional area', config, { ...preprocessor, max_pixels: 70_000.5 }, /max_pixels/],
    ['two means', config, { ...preprocessor, image_mean: [0, 0] }, /image_mean/],
    ['a deviation of 0', config, { ...preprocessor, image_std: [0.5, 0, 0.5] }, /image_std.*above 0/],
    ['another filter', config, { ...preprocessor, resample: 2 }, /resample.*bicubic/],
    ['a skipped step', config, { ...preprocessor, do_normalize: false }, /do_normalize/],
  ];

  it.each(refused)('refuses %s', (_what, badConfig, badPreprocessor, message) => {
    const parse = () => parseVisionMeta({ config: badConfig, preprocessor: badPreprocessor });
    expect(parse).toThrow(message);
    expect(parse).toThrow(expect.objectContaining({ code: 'model_load_failed' }) as Error);
  });

  it('refuses an operator limit below one token', () => {
    expect(() => parseVisionMeta({ config, preprocessor, pixelsMax: 1000 })).toThrow(/pixel limit 1000/);
  });
});
