/**
 * What models on disk need of a device, measured on a thread of its own: a large one takes some tenths of a second,
 * and a file made to break what reads it must break neither the daemon nor a device.
 */
import type { GgmlConfig } from '@cortex/core';
import type { MeasureOptions } from '../model/measure-checkpoint.ts';
import type { MeasuredNeeds } from '../model/memory-plan.ts';
import type { WeightType } from '../model/weight-types.ts';
import type { ServedDevice } from './choose-devices.ts';
import { JobThread } from './job-thread.ts';
import type { ModelMeasurer } from './model-sizes.ts';
import { prefillChunk } from './prefill-chunk.ts';

export type SizingJob = Omit<MeasureOptions, 'patchesMax'> & {
  readonly registryIndex: number;
  readonly resizedPixelsMax: number;
};

/** Of checkpoints, even on slow disks, the headers alone are read. */
const jobMsMax = 60_000;

export class SizingThread implements ModelMeasurer {
  readonly #device: ServedDevice;
  readonly #nDevicesThere: number;
  readonly #config: GgmlConfig;
  readonly #thread = new JobThread<SizingJob, MeasuredNeeds>({
    url: new URL('./sizing-worker.ts', import.meta.url),
    name: 'model-sizes',
    work: 'models are being looked at',
    jobsMax: 1024,
    jobMsMax,
  });

  /** @param device the one asked about; others are taken to be of its kind. */
  constructor(device: ServedDevice, nDevicesThere: number, config: GgmlConfig) {
    this.#device = device;
    this.#nDevicesThere = nDevicesThere;
    this.#config = config;
  }

  measure(dir: string, weightType: WeightType, nDevices: number): Promise<MeasuredNeeds> {
    const config = this.#config;
    const { registryIndex, info } = this.#device;
    return this.#thread.run({
      registryIndex,
      resizedPixelsMax: config.image_resized_pixels_max,
      dir,
      weightType,
      nDevices,
      nDevicesThere: this.#nDevicesThere,
      kvCacheType: config.kv_cache_type,
      nSlots: config.parallel,
      chunkMax: prefillChunk(config, info),
      draftMax: config.draft_max,
    });
  }

  close(): Promise<void> {
    return this.#thread.close();
  }
}
