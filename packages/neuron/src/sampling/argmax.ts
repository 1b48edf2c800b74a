/** The likeliest token of a row of logits, and the one check that the row holds numbers at all. */
import { CortexError } from '@cortex/core';

export const notFinite = (id: number, logit: number): CortexError =>
  new CortexError('internal_error', `the model produced no finite logits: token ${id} has ${logit}`);

/**
 * The id of the largest of `logits[0 … nVocab)`, the lowest one among equals; -1 when all are -Infinity.
 * Throws `internal_error` on NaN and +Infinity.
 */
export function argmax(logits: Float32Array, nVocab: number): number {
  let best = -1;
  let max = -Infinity;
  for (let id = 0; id < nVocab; id++) {
    const logit = logits[id] ?? -Infinity;
    if (logit <= max) continue;
    // NaN compares false with everything, so it arrives here too.
    if (!(logit < Infinity)) throw notFinite(id, logit);
    max = logit;
    best = id;
  }
  return best;
}
