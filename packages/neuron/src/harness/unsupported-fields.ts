/**
 * Request fields that other servers know, that would change the answer, and that are not implemented here: refused by
 * name, for an answer without them would be wrong in silence. All other unknown fields are harmless and ignored.
 */
import { CortexError } from '@cortex/core';

interface Field {
  /** Values that ask for nothing; null and absence always do. */
  neutral?(value: unknown): boolean;
  /** What to do instead. */
  readonly advice?: string;
}

type Fields = Readonly<Record<string, Field>>;

const isEmptyList = (value: unknown): boolean => Array.isArray(value) && value.length === 0;
const isFalse = (value: unknown): boolean => value === false;
const isZero = (value: unknown): boolean => value === 0;
const isTrue = (value: unknown): boolean => value === true;
const isOne = (value: unknown): boolean => value === 1;
const isTextOnly = (value: unknown): boolean => Array.isArray(value) && value.every((kind) => kind === 'text');

const structured: Field = { advice: 'use response_format' };

const shared: Fields = {
  best_of: { neutral: isOne, advice: 'use n' },
  use_beam_search: { neutral: isFalse },
  ignore_eos: { neutral: isFalse },
  min_tokens: { neutral: isZero },
  length_penalty: { neutral: isOne },
  stop_token_ids: { neutral: isEmptyList, advice: 'use stop' },
  bad_words: { neutral: isEmptyList, advice: 'use logit_bias' },
  prompt_logprobs: { neutral: (value) => value === false },
  typical_p: { neutral: isOne },
  mirostat: { neutral: isZero },
  dry_multiplier: { neutral: isZero },
  xtc_probability: { neutral: isZero },
  guided_json: structured,
  guided_regex: structured,
  guided_choice: structured,
  guided_grammar: structured,
  structured_outputs: structured,
  grammar: structured,
  json_schema: structured,
};

const chatFields: Fields = {
  ...shared,
  functions: { neutral: isEmptyList, advice: 'use tools' },
  function_call: { neutral: (value) => value === 'none' || value === 'auto', advice: 'use tool_choice' },
  modalities: { neutral: isTextOnly, advice: 'only text comes out' },
  audio: { advice: 'only text comes out' },
  web_search_options: {},
  continue_final_message: { neutral: isFalse },
  add_generation_prompt: { neutral: isTrue },
};

const completionFields: Fields = { ...shared, suffix: { neutral: (value) => value === '' } };

const refuse = (fields: Fields, body: Readonly<Record<string, unknown>>): void => {
  for (const [name, { neutral, advice }] of Object.entries(fields)) {
    const value = body[name];
    if (value === undefined || value === null || neutral?.(value) === true) continue;
    const hint = advice === undefined ? '' : `: ${advice}`;
    throw new CortexError('unsupported_parameter', `${name} is not supported${hint}`, { param: name });
  }
};

/** @throws CortexError `unsupported_parameter` naming the field. */
export const refuseUnsupportedInChat = (body: Readonly<Record<string, unknown>>): void => refuse(chatFields, body);

/** @throws CortexError `unsupported_parameter` naming the field. */
export const refuseUnsupportedInCompletion = (body: Readonly<Record<string, unknown>>): void =>
  refuse(completionFields, body);
