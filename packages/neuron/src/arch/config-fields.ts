/** Fields that the architectures' configs share, and how a broken config is told. */
import { CortexError, describeIssue } from '@cortex/core';
import { z } from 'zod';

const countMax = 2 ** 24;

export const count = z.int().min(1).max(countMax);
export const size = z.int().min(1).max(1_048_576);
export const epsilon = z.number().positive().max(1);

/** Both spellings of the rotary settings: `rope_parameters`, or `rope_theta` beside `rope_scaling`. */
export const ropeFields = {
  rope_theta: z.number().positive().nullish(),
  rope_scaling: z.looseObject({ rope_type: z.string().nullish(), type: z.string().nullish() }).nullish(),
  rope_parameters: z
    .looseObject({ rope_theta: z.number().positive().nullish(), rope_type: z.string().nullish() })
    .nullish(),
} as const;

/** A config that is broken or asks for what is not built here. */
export class BadConfig extends CortexError {
  readonly why: string;

  /** @param from where the config is from, for the message. */
  constructor(why: string, from = 'config.json') {
    super('model_load_failed', `${from}: ${why}`);
    this.why = why;
  }
}

export const badConfig = (why: string): BadConfig => new BadConfig(why);

/** @throws CortexError `model_load_failed` naming the first wrong field. */
export const parseConfigFields = <T>(schema: z.ZodType<T>, config: unknown): T => {
  const result = schema.safeParse(config);
  if (result.success) return result.data;
  throw badConfig(describeIssue(result.error).message);
};

/** @throws when a field has a value that the graphs here do not follow. */
export const refuseUnless = (holds: boolean, why: string): void => {
  if (!holds) throw badConfig(why);
};

/** Prefix of the language model's tensors: multimodal checkpoints nest it, GGUF files have none. */
export const textPrefix = (names: { has(name: string): boolean }): string => {
  if (names.has('token_embd.weight')) return '';
  const prefixes = ['model.language_model.', 'language_model.model.', 'model.', ''];
  const found = prefixes.find((prefix) => names.has(`${prefix}embed_tokens.weight`));
  if (found === undefined) throw new CortexError('model_load_failed', 'the checkpoint has no embed_tokens.weight');
  return found;
};

/** Whether the head shares the embedding: by the flag, and where none is given by the lack of a head. */
export const isTied = (flag: boolean | null | undefined, names: { has(name: string): boolean }): boolean => {
  const hasHead = names.has('lm_head.weight') || names.has('output.weight');
  if (flag === true) return true;
  if (flag === false && !hasHead) {
    throw new CortexError('model_load_failed', 'the checkpoint has no lm_head.weight and tie_word_embeddings is false');
  }
  return !hasHead;
};
