/** Sampled tokens and their alternatives as OpenAI's log-probabilities: each with its text and its bytes. */
import type { TokenLogprob, TopLogprob } from '@cortex/core';

/** A token id and its natural log-probability. */
interface ScoredToken {
  readonly id: number;
  readonly logprob: number;
}

export interface SampledToken extends ScoredToken {
  /** The likeliest tokens, best first; empty when none were asked for. */
  readonly top: readonly ScoredToken[];
}

/** JSON has no -Infinity: what OpenAI shows for a token that could not be sampled. */
const LOGPROB_MIN = -9999;

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

const finite = (logprob: number): number => (logprob > LOGPROB_MIN ? logprob : LOGPROB_MIN);

const topLogprob = (token: ScoredToken, tokenBytes: (id: number) => Uint8Array): TopLogprob => {
  const bytes = tokenBytes(token.id);
  return { token: decoder.decode(bytes), logprob: finite(token.logprob), bytes: Array.from(bytes) };
};

/**
 * @param tokenBytes the bytes a token stands for. They may be part of a character, whose text is then U+FFFD: clients
 * join the bytes of several tokens instead.
 */
export const tokenLogprob = (sampled: SampledToken, tokenBytes: (id: number) => Uint8Array): TokenLogprob => ({
  ...topLogprob(sampled, tokenBytes),
  top_logprobs: sampled.top.map((token) => topLogprob(token, tokenBytes)),
});
