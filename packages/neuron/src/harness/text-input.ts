/** The four ways in which OpenAI's text calls take their input (a text, ids, or a list of either), as lists of ids. */
import { CortexError } from '@cortex/core';
import type { PromptSide } from './prompt-side.ts';
import { untilAborted } from './until-aborted.ts';

/** A text, or the ids of one. */
export type TextInput = string | readonly number[];

const isIds = (input: readonly (string | number | readonly number[])[]): input is readonly number[] =>
  typeof input[0] === 'number';

export const textInputs = (
  input: string | readonly string[] | readonly number[] | readonly (readonly number[])[],
): readonly TextInput[] => (typeof input === 'string' || isIds(input) ? [input] : input);

export interface TextInputOptions {
  /** Whether control tokens spelt out in the text are meant as such. */
  readonly parseSpecial: boolean;
  /** The request's field, for errors. */
  readonly param: string;
  readonly signal?: AbortSignal;
}

/** @throws CortexError `invalid_request` for ids that the model does not have. */
export const textToIds = async (
  input: TextInput,
  { thread }: PromptSide,
  { parseSpecial, param, signal }: TextInputOptions,
): Promise<Int32Array> => {
  if (typeof input === 'string') {
    const ids = thread.encode(input, { parseSpecial }, signal);
    return signal === undefined ? ids : untilAborted(ids, signal);
  }
  const { nTokens } = thread.vocabulary;
  const wrong = input.find((id) => id >= nTokens);
  if (wrong === undefined) return Int32Array.from(input);
  throw new CortexError('invalid_request', `the model has no token ${wrong}, only 0 to ${nTokens - 1}`, { param });
};
