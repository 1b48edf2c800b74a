/** The likeliest token of a row of logits, and the one check that the row holds numbers at all. */
import { CortexError } from '@cortex/core';

export const notFinite = (id: number, logit: number): CortexError =>
  new CortexError('internal_error', `the model produced no finite logits: token ${id} has ${logit}`);

/**
 * The first id from `from` on whose logit is above `limit`, or is no number; nVocab when there is none. Four are looked at
 * at once, since nearly all are below: a vocabulary takes half the time.
 */
export function nextAbove(logits: Float32Array, from: number, nVocab: number, limit: number): number {
  let id = from;
  while (
    id + 3 < nVocab &&
    (logits[id] ?? 0) <= limit &&
    (logits[id + 1] ?? 0) <= limit &&
    (logits[id + 2] ?? 0) <= limit &&
    (logits[id + 3] ?? 0) <= limit
  ) {
    id += 4;
  }
  while (id < nVocab && (logits[id] ?? 0) <= limit) id += 1;
  return id;
}

/**
 * The id of the largest of `logits[0 … nVocab)`, the lowest one among equals; -1 when all are -Infinity.
 * Throws `internal_error` on NaN and +Infinity.
 */
export function argmax(logits: Float32Array, nVocab: number): number {
  let best = -1;
  let max = -Infinity;
  for (let id = nextAbove(logits, 0, nVocab, max); id < nVocab; id = nextAbove(logits, id + 1, nVocab, max)) {
    const logit = logits[id] ?? -Infinity;
    if (!(logit < Infinity)) throw notFinite(id, logit);
    max = logit;
    best = id;
  }
  return best;
}
