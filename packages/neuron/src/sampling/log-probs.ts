/**
 * Log-probabilities as they are reported: the log-softmax of the model's raw logits over the real vocabulary, before
 * temperature, penalties, bias and constraint. They say what the model believed, not how it was sampled.
 */
import { argmax } from './argmax.ts';
import { expNonPositive } from './exponential.ts';
import type { TopHeap } from './top-heap.ts';

export interface TokenLogprob {
  readonly id: number;
  readonly logprob: number;
}

/** log of the sum of e^logit over the vocabulary. */
export function logSumExp(logits: Float32Array, nVocab: number): number {
  const max = logits[argmax(logits, nVocab)] ?? -Infinity;
  let sum = 0;
  for (let id = 0; id < nVocab; id++) sum += expNonPositive((logits[id] ?? -Infinity) - max);
  return max + Math.log(sum);
}

/** The n likeliest tokens, likeliest first, lower id first among equals. */
export function topLogprobs(
  logits: Float32Array,
  nVocab: number,
  n: number,
  logTotal: number,
  heap: TopHeap,
): TokenLogprob[] {
  if (n === 0) return [];
  heap.collect(logits, nVocab, Math.min(n, nVocab));
  heap.sortDescending();
  return Array.from({ length: heap.length }, (_, rank) => ({
    id: heap.id(rank),
    logprob: heap.value(rank) - logTotal,
  }));
}
