/** Opens a checkpoint of either format. */
import type { Checkpoint } from './checkpoint.ts';
import { SafetensorsCheckpoint } from './safetensors-checkpoint.ts';

/** @throws CortexError `model_load_failed` naming the folder, and the file and tensor at fault. */
export const openCheckpoint = (path: string): Promise<Checkpoint> => SafetensorsCheckpoint.open(path);
