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

/** How far below the likeliest token, in units of e, a nucleus is looked for at first, and by how much farther then. */
const depthStart = 12;
const depthStep = 8;
/** Farther down weights are 0: see `expNonPositive`. */
const depthMax = 700;

/** Fills `into` with the tokens that survive; their weights are relative to the likeliest, which weighs 1. */
export function selectCandidates(
  logits: Float32Array,
  nVocab: number,
  selection: Selection,
  into: Candidates,
  heap: TopHeap,
): void {
  const { temperature, topK, topP, minP } = selection;
  if (topK > 0 && topK <= heapMax && topK < nVocab) {
    takeLargest(logits, nVocab, topK, 1 / temperature, into, heap);
    keepNucleus(into, topP);
  } else {
    into.reserve(nVocab);
    const best = argmax(logits, nVocab);
    if (best < 0) return;
    const row = { logits, nVocab, max: logits[best] ?? -Infinity, inverseTemperature: 1 / temperature };
    if (topK > 0 && topK < nVocab) {
      takeBand(row, 0, depthMax, 0, into);
      into.keepPrefix(topK, Infinity);
      keepNucleus(into, topP);
    } else if (topP < 1) {
      takeNucleus(row, topP, into);
    } else {
      // Somewhat too many; the cut is below.
      takeBand(row, 0, Math.min(1 - Math.log(minP), depthMax), 0, into);
    }
  }
  if (minP > 0) into.dropBelow(minP);
}

/** The shortest prefix that holds `topP` of the total weight. */
function keepNucleus(candidates: Candidates, topP: number): void {
  if (topP < 1) candidates.keepPrefix(candidates.length, topP * candidates.totalWeight());
}

/** Logits and how they become weights. */
interface Row {
  readonly logits: Float32Array;
  readonly nVocab: number;
  readonly max: number;
  readonly inverseTemperature: number;
}

/** Tokens by how far below the likeliest they are: so many steps for each e, within which a weight is known well enough. */
const stepsPerE = 16;
/** Shared, as a thread selects from one row at a time. */
const countsBelow = new Int32Array(depthMax * stepsPerE);

/**
 * The nucleus of all tokens, most of which need no exponential: the likeliest are listed, the others counted by how far
 * below they are. That bounds the total; where the bounds leave more than one prefix, more are listed.
 */
function takeNucleus(row: Row, topP: number, into: Candidates): void {
  // Tokens lighter than (1 - topP) total / nVocab weigh less than 1 - topP together, so the nucleus needs none of them.
  const weightMin = (1 - topP) / row.nVocab;
  let listed = 0;
  let from = 0;
  for (let to = depthStart; ; to = Math.min(to + depthStep, depthMax)) {
    listed += takeBand(row, from, to, weightMin, into);
    into.dropBelow(weightMin * listed);
    const othersMax = weightBelow(to);
    const { length } = into;
    const weight = into.keepPrefix(length, topP * (listed + othersMax * Math.exp(-1 / stepsPerE)));
    if (weight >= topP * (listed + othersMax) || to === depthMax) return;
    into.length = length;
    from = to;
  }
}

/** What the tokens that were only counted weigh together at most. */
function weightBelow(depth: number): number {
  let weight = 0;
  for (let step = depth * stepsPerE; step < countsBelow.length; step++) {
    const count = countsBelow[step] ?? 0;
    if (count > 0) weight += count * Math.exp(-step / stepsPerE);
  }
  return weight;
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

/**
 * Adds the tokens at least `from` and less than `to` below the likeliest, in units of e, that weigh `weightMin` or more,
 * and counts those below. Answers the weight of all within, listed or not.
 */
function takeBand(
  { logits, nVocab, max, inverseTemperature }: Row,
  from: number,
  to: number,
  weightMin: number,
  into: Candidates,
): number {
  const { ids, weights } = into;
  let { length } = into;
  let total = 0;
  countsBelow.fill(0);
  for (let id = 0; id < nVocab; id++) {
    const below = (max - (logits[id] ?? -Infinity)) * inverseTemperature;
    if (below >= to) {
      const step = below < depthMax ? (below * stepsPerE) | 0 : -1;
      if (step >= 0) countsBelow[step] = (countsBelow[step] ?? 0) + 1;
    } else if (below >= from) {
      const weight = expNonPositive(-below);
      total += weight;
      if (weight < weightMin) continue;
      ids[length] = id;
      weights[length++] = weight;
    }
  }
  into.length = length;
  return total;
}
