/** A model's configuration in the form of `config.json`, from a folder or from a GGUF file's keys. */
import { z } from 'zod';
import { configOfGguf } from '../arch/registry.ts';
import { isGguf, readGgufModel } from '../model-files/gguf-file.ts';
import { readModelJson } from '../model-files/model-json.ts';
import { configFile } from '../model-store/checkpoint-folder.ts';

/** A JSON object, not looked at yet; null where a folder has none. @throws CortexError `model_load_failed`. */
export const readModelConfig = async (path: string): Promise<unknown> =>
  isGguf(path) ? configOfGguf(await readGgufModel(path)) : readModelJson(z.looseObject({}), path, configFile);
