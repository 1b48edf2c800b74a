/** Which of the kept prefixes a prompt goes on from: a pure choice. */

export interface PrefixChoice {
  /** Tokens from the start that it shares with the prompt and that its cells hold. */
  readonly nCommon: number;
  /** Of its own prompt, without the answer. */
  readonly nPrompt: number;
  /** Where its recurrent state was saved, in tokens; unused for a model without one. */
  readonly states: readonly number[];
  /** Parked cells can be taken over; those of a running sequence and on the host are copied. */
  readonly place: 'parked' | 'running' | 'host';
}

export interface ChosenPrefix<P extends PrefixChoice> {
  readonly prefix: P;
  /** Tokens to take from it. */
  readonly nTokens: number;
  /** The prompt goes on where this one ended: nobody else will miss what is behind `nTokens`. */
  readonly isContinued: boolean;
}

/** Fewer are computed sooner than found. */
const tokensMin = 16;
/** What of a prompt's end may be told otherwise when its answer is history. */
const tailMax = 32;
const placeOrder = { parked: 0, running: 1, host: 2 } as const;

/**
 * The longest past for a prompt of `nPrompt` tokens, of which one at least is left to run; null when none is worth it.
 * @param needsState only tokens at which a state was saved count
 */
export const choosePrefix = <P extends PrefixChoice>(
  prefixes: readonly P[],
  nPrompt: number,
  needsState: boolean,
): ChosenPrefix<P> | null => {
  let best: ChosenPrefix<P> | null = null;
  for (const prefix of prefixes) {
    const limit = Math.min(prefix.nCommon, nPrompt - 1);
    const nTokens = needsState ? Math.max(0, ...prefix.states.filter((at) => at <= limit)) : limit;
    if (nTokens < tokensMin) continue;
    const isContinued = prefix.place === 'parked' && prefix.nPrompt - nTokens <= tailMax;
    const isBetter =
      best === null ||
      nTokens > best.nTokens ||
      (nTokens === best.nTokens && placeOrder[prefix.place] < placeOrder[best.prefix.place]);
    if (isBetter) best = { prefix, nTokens, isContinued };
  }
  return best;
};
