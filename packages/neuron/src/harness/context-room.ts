/** How much of the context a prompt leaves for the answer. */
import { CortexError } from '@cortex/core';

/**
 * Tokens the answer may have: as many as asked for, but never beyond the context.
 * @throws CortexError `context_length_exceeded` with the numbers, where the prompt leaves room for no token;
 * `invalid_request` for a prompt of no tokens at all.
 */
export const answerTokensMax = (nPrompt: number, contextMax: number, asked: number | null, param: string): number => {
  if (nPrompt === 0) throw new CortexError('invalid_request', 'the prompt is empty', { param });
  if (nPrompt < contextMax) return Math.min(asked ?? Infinity, contextMax - nPrompt);
  throw new CortexError(
    'context_length_exceeded',
    `the prompt has ${nPrompt} tokens and leaves no room for an answer: the model's context is ${contextMax} tokens`,
    { param, facts: { limit: contextMax, got: nPrompt } },
  );
};
