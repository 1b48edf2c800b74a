/** How much of the context a prompt leaves for the answer. */
import { CortexError } from '@cortex/core';

export interface ContextRoom {
  /** Prompt and answer together, in tokens. */
  readonly contextMax: number;
  /** Tokens that the answer needs at least. */
  readonly nAnswerMin: number;
}

/**
 * @param param the request's field that the prompt came from
 * @throws CortexError `context_length_exceeded` with the numbers; `invalid_request` for a prompt of no tokens at all.
 */
export const checkPromptFits = (nPrompt: number, { contextMax, nAnswerMin }: ContextRoom, param: string): void => {
  if (nPrompt === 0) throw new CortexError('invalid_request', `${param}: there is no token in it`, { param });
  if (nPrompt + nAnswerMin <= contextMax) return;
  const wants = nAnswerMin === 0 ? '' : ` and the answer needs ${nAnswerMin}`;
  throw new CortexError(
    'context_length_exceeded',
    `${param}: it has ${nPrompt} tokens${wants}; the model's context is ${contextMax} tokens`,
    { param, facts: { limit: contextMax, got: nPrompt } },
  );
};

/** Tokens the answer may have: as many as asked for, but never beyond the context. @throws as `checkPromptFits`. */
export const answerTokensMax = (nPrompt: number, contextMax: number, asked: number | null, param: string): number => {
  checkPromptFits(nPrompt, { contextMax, nAnswerMin: 1 }, param);
  return Math.min(asked ?? Infinity, contextMax - nPrompt);
};
