/** What a model's files say about images, within the operator's limit. */
import { z } from 'zod';
import { readModelJson } from '../model-files/model-json.ts';
import { parseVisionMeta, type VisionMeta } from '../vision/vision-meta.ts';

const anyJson = z.unknown();

/**
 * @param config parsed `config.json`
 * @param resizedPixelsMax the checkpoint's own limit where that is lower or this is undefined
 * @returns null for a model without a tower
 * @throws CortexError `model_load_failed` naming the file that cannot be used.
 */
export const readVisionMeta = async (
  dir: string,
  config: unknown,
  resizedPixelsMax: number | undefined,
): Promise<VisionMeta | null> => {
  const [preprocessor, processor] = await Promise.all([
    readModelJson(anyJson, dir, 'preprocessor_config.json'),
    readModelJson(anyJson, dir, 'processor_config.json'),
  ]);
  return parseVisionMeta({
    config,
    preprocessor: preprocessor ?? processor,
    ...(resizedPixelsMax === undefined ? {} : { pixelsMax: resizedPixelsMax }),
  });
};

/** Patches of the largest image that the tower is given. */
export const patchesMaxOf = (vision: VisionMeta | null): number =>
  vision === null ? 0 : Math.floor(vision.maxPixels / vision.patchSize ** 2);
