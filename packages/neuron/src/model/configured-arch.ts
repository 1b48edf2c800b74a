/** The architecture of a checkpoint, its sizes set by the checkpoint's config. */
import type { ArchModel } from '../arch/arch.ts';
import { BadConfig } from '../arch/config-fields.ts';
import { archOf } from '../arch/registry.ts';
import type { Checkpoint } from './checkpoint.ts';

/** @throws CortexError `model_load_failed` naming the file and the field that is broken or not followed here. */
export const configuredArch = (checkpoint: Checkpoint): ArchModel => {
  const { config, format, label } = checkpoint;
  try {
    return archOf(config).configure(config, checkpoint);
  } catch (error) {
    // A GGUF file has no config.json: its keys were read as one.
    throw error instanceof BadConfig && format === 'gguf'
      ? new BadConfig(error.why, `${label}, as config.json`)
      : error;
  }
};
