/** A worker thread of the pixel pool: prepares one image at a time and hands the patches over without a copy. */
import { parentPort } from 'node:worker_threads';
import { CortexError } from '@cortex/core';
import sharp from 'sharp';
import type { PixelAnswer, PixelJob } from './pixel-job.ts';
import { prepareImage } from './prepare-image.ts';

if (parentPort === null) throw new Error('pixel-worker runs in a worker thread only');
const port = parentPort;

// The library caches results for inputs seen again; here they never are.
sharp.cache(false);

const prepare = async ({ image, meta }: PixelJob): Promise<void> => {
  try {
    const prepared = await prepareImage(image, meta);
    port.postMessage({ kind: 'prepared', image: prepared } satisfies PixelAnswer, [prepared.patches.buffer]);
  } catch (error) {
    port.postMessage({ kind: 'failed', error: CortexError.from(error).toData() } satisfies PixelAnswer, []);
  }
};

port.on('message', (job: PixelJob) => void prepare(job));
