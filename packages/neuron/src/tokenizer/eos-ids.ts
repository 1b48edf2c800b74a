/**
 * The ids that end a turn. Checkpoints spread them over three files and no single one has them all, so it is their
 * union: stopping early on one of them is right, and missing one lets the model run on into a made-up user turn.
 */
import { z } from 'zod';
import { parseModelJson } from '../model-files/model-json.ts';
import type { TokenizerConfig } from './tokenizer-files.ts';
import type { Vocabulary } from './vocabulary.ts';

const ids = z
  .union([z.int(), z.array(z.int()).max(64)])
  .nullish()
  .transform((value) => (value === null || value === undefined ? [] : [value].flat()));

const withEos = z.looseObject({ eos_token_id: ids });
const configSchema = z.looseObject({ eos_token_id: ids, text_config: withEos.nullish() });

export interface EosSources {
  /** Parsed `generation_config.json`; null when absent. */
  readonly generationConfig: unknown;
  /** Parsed `config.json`. */
  readonly config: unknown;
  readonly tokenizerConfig: TokenizerConfig;
}

/** Ascending, without repeats, only ids the vocabulary has. @throws CortexError `model_load_failed` on wrong types. */
export const eosIds = (sources: EosSources, vocabulary: Vocabulary): number[] => {
  const generation = parseModelJson(withEos, sources.generationConfig ?? {}, 'generation_config.json');
  const config = parseModelJson(configSchema, sources.config ?? {}, 'config.json');
  const { eos_token: named } = sources.tokenizerConfig;
  const all = [
    ...generation.eos_token_id,
    ...config.eos_token_id,
    ...(config.text_config?.eos_token_id ?? []),
    ...(typeof named === 'string' ? [vocabulary.idOf(named) ?? -1] : []),
  ];
  const known = all.filter((id) => id >= 0 && id < vocabulary.nTokens);
  return [...new Set(known)].toSorted((a, b) => a - b);
};
