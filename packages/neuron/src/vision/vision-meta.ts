/**
 * What a checkpoint says about images, from `config.json` and `preprocessor_config.json`. Both files are strangers'
 * input: values out of range, or two files that disagree, fail the load instead of giving wrong pixels quietly.
 */
import { CortexError, describeIssue } from '@cortex/core';
import { z } from 'zod';

export interface VisionMeta {
  /** Pixels on a patch's side. */
  readonly patchSize: number;
  /** Frames per patch; a still image is repeated to fill them. */
  readonly temporalPatchSize: number;
  /** Patches on the side of the square that becomes one token. */
  readonly mergeSize: number;
  readonly inChannels: number;
  readonly imageTokenId: number;
  readonly videoTokenId: number | null;
  readonly visionStartTokenId: number | null;
  readonly visionEndTokenId: number | null;
  /** Bounds of the resized area in pixels. */
  readonly minPixels: number;
  readonly maxPixels: number;
  /** One value a channel, for pixels scaled by `rescaleFactor`. */
  readonly imageMean: readonly number[];
  readonly imageStd: readonly number[];
  readonly rescaleFactor: number;
}

export interface VisionMetaFiles {
  /** Parsed `config.json`. */
  readonly config: unknown;
  /** Parsed `preprocessor_config.json`, or `processor_config.json` with its `image_processor`; null when absent. */
  readonly preprocessor: unknown;
  /** The operator's limit on the resized area in pixels; it can only lower the checkpoint's. */
  readonly pixelsMax?: number;
}

const channels = 3;
const areaMax = 2 ** 30;

const smallCount = z.int().min(1).max(256);
const tokenId = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);
const area = z.int().min(1).max(areaMax);
const perChannel = z.union([
  z.array(z.number()).length(channels),
  z.number().transform((value) => Array.from({ length: channels }, () => value)),
]);

const configSchema = z.looseObject({
  vision_config: z.looseObject({
    patch_size: smallCount,
    temporal_patch_size: smallCount,
    spatial_merge_size: smallCount,
    in_channels: z.literal(channels, { error: `expected ${channels}: images are RGB` }),
  }),
  image_token_id: tokenId,
  video_token_id: tokenId.nullish(),
  vision_start_token_id: tokenId.nullish(),
  vision_end_token_id: tokenId.nullish(),
});

const pixelStep = z.literal(true, { error: 'expected true: no other preprocessing is supported' }).nullish();

const preprocessorSchema = z.looseObject({
  // Named edges, but areas in pixels: `min_pixels` and `max_pixels` are the older names and win when both are there.
  size: z.looseObject({ shortest_edge: area.nullish(), longest_edge: area.nullish() }).nullish(),
  min_pixels: area.nullish(),
  max_pixels: area.nullish(),
  patch_size: smallCount,
  temporal_patch_size: smallCount,
  merge_size: smallCount,
  image_mean: perChannel,
  image_std: perChannel.refine((values) => values.every((value) => value > 0), { error: 'expected values above 0' }),
  rescale_factor: z.number().positive().nullish(),
  resample: z.literal([3, 'bicubic'], { error: 'expected 3 (bicubic)' }).nullish(),
  do_resize: pixelStep,
  do_rescale: pixelStep,
  do_normalize: pixelStep,
});

const refuse = (message: string): CortexError => new CortexError('model_load_failed', message);

const parseFile = <T>(file: string, schema: z.ZodType<T>, value: unknown): T => {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw refuse(`${file}: ${describeIssue(result.error).message}`);
};

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;

const hasTower = (config: unknown): boolean =>
  isObject(config) && config['vision_config'] !== undefined && config['vision_config'] !== null;

const agree = (name: string, preprocessor: number, config: number): void => {
  if (preprocessor === config) return;
  throw refuse(`preprocessor_config.json says ${name} ${preprocessor}, config.json says ${config}`);
};

/** The checkpoint's area bounds, lowered to the operator's limit. */
const pixelBounds = (
  file: z.infer<typeof preprocessorSchema>,
  factor: number,
  pixelsMax = areaMax,
): Pick<VisionMeta, 'minPixels' | 'maxPixels'> => {
  const min = file.min_pixels ?? file.size?.shortest_edge;
  const max = file.max_pixels ?? file.size?.longest_edge;
  if (min === undefined || min === null || max === undefined || max === null) {
    throw refuse(
      'preprocessor_config.json: size.shortest_edge and size.longest_edge, or min_pixels and max_pixels, are missing',
    );
  }
  if (min > max) throw refuse(`preprocessor_config.json: the least area ${min} is above the greatest, ${max}`);
  const lowest = factor * factor;
  if (max < lowest) throw refuse(`preprocessor_config.json: the greatest area ${max} is below one token's, ${lowest}`);
  if (pixelsMax < lowest) throw refuse(`the image pixel limit ${pixelsMax} is below one token's area, ${lowest}`);
  return { minPixels: Math.min(min, pixelsMax), maxPixels: Math.min(max, pixelsMax) };
};

/**
 * @returns null when the checkpoint has no vision tower.
 * @throws CortexError `model_load_failed` naming the file and field that is missing, absurd or contradicts the other.
 */
export const parseVisionMeta = (files: VisionMetaFiles): VisionMeta | null => {
  if (!hasTower(files.config)) return null;
  const config = parseFile('config.json', configSchema, files.config);
  if (files.preprocessor === null || files.preprocessor === undefined) {
    throw refuse('config.json has a vision_config, but the checkpoint has no preprocessor_config.json');
  }
  const nested = isObject(files.preprocessor) ? files.preprocessor['image_processor'] : undefined;
  const preprocessor = parseFile('preprocessor_config.json', preprocessorSchema, nested ?? files.preprocessor);
  const tower = config.vision_config;
  agree('patch_size', preprocessor.patch_size, tower.patch_size);
  agree('temporal_patch_size', preprocessor.temporal_patch_size, tower.temporal_patch_size);
  agree('merge_size', preprocessor.merge_size, tower.spatial_merge_size);
  return {
    patchSize: tower.patch_size,
    temporalPatchSize: tower.temporal_patch_size,
    mergeSize: tower.spatial_merge_size,
    inChannels: tower.in_channels,
    imageTokenId: config.image_token_id,
    videoTokenId: config.video_token_id ?? null,
    visionStartTokenId: config.vision_start_token_id ?? null,
    visionEndTokenId: config.vision_end_token_id ?? null,
    ...pixelBounds(preprocessor, tower.patch_size * tower.spatial_merge_size, files.pixelsMax),
    imageMean: preprocessor.image_mean,
    imageStd: preprocessor.image_std,
    rescaleFactor: preprocessor.rescale_factor ?? 1 / 255,
  };
};
