/** Opens a checkpoint of either format. */
import { isGguf } from '../model-files/gguf-file.ts';
import type { Checkpoint } from './checkpoint.ts';
import { GgufCheckpoint } from './gguf-checkpoint.ts';
import { SafetensorsCheckpoint } from './safetensors-checkpoint.ts';

/**
 * @param path A folder of safetensors, or the only or first file of a GGUF model.
 * @throws CortexError `model_load_failed` naming the folder, and the file and tensor at fault.
 */
export const openCheckpoint = (path: string): Promise<Checkpoint> =>
  isGguf(path) ? GgufCheckpoint.open(path) : SafetensorsCheckpoint.open(path);
