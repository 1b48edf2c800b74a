/**
 * A checkpoint's own sampling defaults, from `generation_config.json`. A value left out is off; a value out of range
 * fails the load, for a model that samples differently from what its makers say is wrong in silence.
 */
import { z } from 'zod';
import { parseModelJson } from '../model-files/model-json.ts';

export interface SamplingDefaults {
  /** 0 is greedy: what `do_sample: false` means. */
  readonly temperature: number;
  readonly topP: number;
  /** 0 is off. */
  readonly topK: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
}

const schema = z.looseObject({
  do_sample: z.boolean().nullish(),
  temperature: z.number().min(0).max(100).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().gt(0).max(100).nullish(),
});

/** `generationConfig` is the parsed file, null when absent. @throws CortexError `model_load_failed`. */
export const samplingDefaults = (generationConfig: unknown): SamplingDefaults => {
  const config = parseModelJson(schema, generationConfig ?? {}, 'generation_config.json');
  return {
    temperature: config.do_sample === false ? 0 : (config.temperature ?? 1),
    topP: config.top_p ?? 1,
    topK: Math.max(0, config.top_k ?? 0),
    minP: config.min_p ?? 0,
    repetitionPenalty: config.repetition_penalty ?? 1,
  };
};
