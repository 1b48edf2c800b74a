/**
 * Which tokens may be drawn, and with what weights: temperature → top_k → top_p → min_p, the order of Hugging Face
 * transformers' warpers. top_p measures probability within what top_k left; min_p is relative to the likeliest token.
 * Invariant: the likeliest token always survives, and -Infinity never does.
 */
import { argmax } from './argmax.ts';
import type { Candidates } from './candidates.ts';
import { expNonPositive } from './exponential.ts';
import type { SamplingParams } from './params.ts';
import type { TopHeap } from './top-heap.ts';

export type Selection = Pick<SamplingParams, 'temperature' | 'topK' | 'topP' | 'minP'>;

/** Up to here top_k keeps a heap; a larger k partitions the vocabulary instead. */
const heapMax = 1024;

/** Fills `into` with the tokens that survive; their weights are relative to the likeliest, which weighs 1. */
export function selectCandidates(
  logits: Float32Array,
  nVocab: number,
  selection: Selection,
  into: Candidates,
  heap: TopHeap,
): void {
  const { temperature, topK, topP, minP } = selection;
  if (topK <= 0 || topK >= nVocab) {
    // All tokens lighter than (1 - topP) total / n weigh less than 1 - topP together, so the nucleus needs none of
    // them; and the total is at least the likeliest token's 1.
    const weightMin = topP < 1 ? (1 - topP) / nVocab : minP;
    const total = takeAll(logits, nVocab, 1 / temperature, weightMin, into);
    if (topP < 1) into.dropBelow(weightMin * total);
    keepNucleus(into, topP, total);
  } else if (topK <= heapMax) {
    takeLargest(logits, nVocab, topK, 1 / temperature, into, heap);
    keepNucleus(into, topP, into.totalWeight());
  } else {
    takeAll(logits, nVocab, 1 / temperature, 0, into);
    into.keepPrefix(topK, Infinity);
    keepNucleus(into, topP, into.totalWeight());
  }
  if (minP > 0) into.dropBelow(minP);
}

/** The shortest prefix that holds `topP` of the total weight. */
function keepNucleus(candidates: Candidates, topP: number, total: number): void {
  if (topP < 1) candidates.keepPrefix(candidates.length, topP * total);
}

function takeLargest(
  logits: Float32Array,
  nVocab: number,
  k: number,
  inverseTemperature: number,
  into: Candidates,
  heap: TopHeap,
): void {
  heap.collect(logits, nVocab, k);
  heap.sortDescending();
  into.reserve(heap.length);
  const max = heap.value(0);
  for (let rank = 0; rank < heap.length; rank++) {
    into.push(heap.id(rank), expNonPositive((heap.value(rank) - max) * inverseTemperature));
  }
}

/** Lists every token that weighs at least `weightMin`; answers the weight of all, listed or not. */
function takeAll(
  logits: Float32Array,
  nVocab: number,
  inverseTemperature: number,
  weightMin: number,
  into: Candidates,
): number {
  into.reserve(nVocab);
  const best = argmax(logits, nVocab);
  if (best < 0) return 0;
  const max = logits[best] ?? -Infinity;
  const { ids, weights } = into;
  let length = 0;
  let total = 0;
  for (let id = 0; id < nVocab; id++) {
    const weight = expNonPositive(((logits[id] ?? -Infinity) - max) * inverseTemperature);
    if (weight === 0) continue;
    total += weight;
    if (weight < weightMin) continue;
    ids[length] = id;
    weights[length++] = weight;
  }
  into.length = length;
  return total;
}
