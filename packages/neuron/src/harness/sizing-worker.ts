/** The thread behind `SizingThread`. It opens no device: it only asks what one would take. */
import { openLibrary } from '@cortex/ggml';
import { measureCheckpoint } from '../model/measure-checkpoint.ts';
import type { MeasuredNeeds } from '../model/memory-plan.ts';
import { readModelConfig } from '../model/model-config.ts';
import { patchesMaxOf, readVisionMeta } from './read-vision-meta.ts';
import { serveJobs } from './serve-jobs.ts';
import type { SizingJob } from './sizing-thread.ts';

serveJobs(async ({ registryIndex, resizedPixelsMax, ...options }: SizingJob): Promise<MeasuredNeeds> => {
  const device = openLibrary().devices[registryIndex];
  if (device === undefined) throw new RangeError(`there is no device ${registryIndex}`);
  const { dir } = options;
  const patchesMax = patchesMaxOf(await readVisionMeta(dir, await readModelConfig(dir), resizedPixelsMax));
  return measureCheckpoint(device, { ...options, patchesMax });
});
