/** How one sequence is sampled: plain data, it crosses threads. */
export interface SamplingParams {
  /** 0 (or below 1e-5) is greedy: the largest logit, the lowest id among equals, no randomness. */
  readonly temperature: number;
  /** Keep the likeliest tokens that together reach this probability; 1 is off. */
  readonly topP: number;
  /** Keep this many of the likeliest tokens; 0 and -1 are off. */
  readonly topK: number;
  /** Keep tokens at least this likely relative to the likeliest one; 0 is off. */
  readonly minP: number;
  /** Taken once from every token already generated (OpenAI). */
  readonly presencePenalty: number;
  /** Taken from a token once for each time it was generated (OpenAI). */
  readonly frequencyPenalty: number;
  /** Divides positive and multiplies negative logits of tokens in the prompt or the output (CTRL); 1 is off. */
  readonly repetitionPenalty: number;
  /** Added to the logits of these ids. */
  readonly logitBias: readonly (readonly [id: number, bias: number])[];
  /** Same seed, same logits, same tokens. `null` takes one at random. */
  readonly seed: number | null;
}
