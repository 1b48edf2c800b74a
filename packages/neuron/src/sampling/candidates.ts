/**
 * The tokens a draw may choose from, with their unnormalised probabilities, and the cuts that shorten the list.
 * "In order" is always: higher weight first, then lower id. Nothing here sorts a vocabulary: cuts partition around
 * pivots, which costs O(n). Buffers grow to the largest list seen and are reused.
 */
import type { Random } from './random.ts';

/** Lists this short are put in order by insertion. */
const insertionLimit = 16;
/** Lists this long are first divided by the leading bits of their weights. */
const bucketLimit = 2048;
/** Buckets for weights that halve; a double's exponent and four further bits tell them apart. */
const bucketsPerHalving = 16;
/** High word of a double of 1, and where those bits begin in it. */
const highWordOfOne = 0x3ff00000;
const bucketShift = 16;
const nBuckets = 1024 * bucketsPerHalving;

/** Of the i-th of some weights, given as words (the lower one first): the heaviest are in the first bucket. */
const bucketOf = (words: Int32Array, i: number): number => {
  const below = (highWordOfOne - (words[2 * i + 1] ?? 0)) >> bucketShift;
  return below < 0 ? 0 : below < nBuckets ? below : nBuckets - 1;
};

export class Candidates {
  /** The first `length` of each hold the list. */
  ids = new Int32Array(256);
  weights = new Float64Array(256);
  length = 0;
  readonly #buckets = { counts: new Int32Array(nBuckets), sums: new Float64Array(nBuckets) };

  /** Makes room for n entries; the content is lost. */
  reserve(n: number): void {
    this.length = 0;
    if (this.ids.length >= n) return;
    this.ids = new Int32Array(n);
    this.weights = new Float64Array(n);
  }

  push(id: number, weight: number): void {
    this.ids[this.length] = id;
    this.weights[this.length++] = weight;
  }

  totalWeight(): number {
    let total = 0;
    for (let i = 0; i < this.length; i++) total += this.weights[i] ?? 0;
    return total;
  }

  /** Drops every entry lighter than `weight`. */
  dropBelow(weight: number): void {
    const { ids, weights } = this;
    let kept = 0;
    for (let i = 0; i < this.length; i++) {
      const candidate = weights[i] ?? 0;
      if (candidate < weight) continue;
      weights[kept] = candidate;
      ids[kept++] = ids[i] ?? 0;
    }
    this.length = kept;
  }

  /**
   * Keeps the shortest prefix, in order, that holds `nMax` entries or weighs at least `weightMin`; never none.
   * The entries kept are left in no particular order, those dropped behind them: with `length` set back all are there.
   * Returns what the prefix weighs.
   */
  keepPrefix(nMax: number, weightMin: number): number {
    let { low, high, weightBefore } =
      this.length > bucketLimit ? this.#narrowed(nMax, weightMin) : { low: 0, high: this.length, weightBefore: 0 };
    while (high - low > insertionLimit) {
      const pivot = this.#partition(low, high);
      let weight = weightBefore;
      for (let i = low; i < pivot; i++) weight += this.weights[i] ?? 0;
      if (pivot >= nMax || (weight >= weightMin && pivot > 0)) {
        high = pivot;
        continue;
      }
      low = pivot + 1;
      weightBefore = weight + (this.weights[pivot] ?? 0);
      if (low >= nMax || weightBefore >= weightMin) {
        this.length = low;
        return weightBefore;
      }
    }
    this.#insertionSort(low, high);
    while (low < high) {
      weightBefore += this.weights[low++] ?? 0;
      if (low >= nMax || weightBefore >= weightMin) break;
    }
    this.length = low;
    return weightBefore;
  }

  /** Divides a long list so that the prefix ends within [low, high): what is before is in it, what is behind is not. */
  #narrowed(nMax: number, weightMin: number): { low: number; high: number; weightBefore: number } {
    const { counts, sums } = this.#buckets;
    counts.fill(0);
    sums.fill(0);
    const words = new Int32Array(this.weights.buffer);
    for (let i = 0; i < this.length; i++) {
      const bucket = bucketOf(words, i);
      counts[bucket] = (counts[bucket] ?? 0) + 1;
      sums[bucket] = (sums[bucket] ?? 0) + (this.weights[i] ?? 0);
    }
    let last = 0;
    let n = 0;
    let weightBefore = 0;
    while (last < nBuckets) {
      const [count, sum] = [counts[last] ?? 0, sums[last] ?? 0];
      if (n + count >= nMax || (count > 0 && weightBefore + sum >= weightMin)) break;
      n += count;
      weightBefore += sum;
      last += 1;
    }
    const low = this.#moveBuckets(words, 0, last - 1);
    return { low, high: this.#moveBuckets(words, low, last), weightBefore };
  }

  /** Puts the entries from `low` on that are in buckets up to `last` in front of the others; answers where these begin. */
  #moveBuckets(words: Int32Array, low: number, last: number): number {
    let place = low;
    for (let i = low; i < this.length; i++) {
      if (bucketOf(words, i) <= last) this.#swap(i, place++);
    }
    return place;
  }

  /** One id, each with the probability its weight is of the whole. -1 from an empty list. */
  draw(random: Random): number {
    let left = random.next() * this.totalWeight();
    let last = -1;
    for (let i = 0; i < this.length; i++) {
      const weight = this.weights[i] ?? 0;
      if (!(weight > 0)) continue;
      last = i;
      left -= weight;
      if (left < 0) break;
    }
    return last < 0 ? -1 : (this.ids[last] ?? -1);
  }

  #before(i: number, weight: number, id: number): boolean {
    const candidate = this.weights[i] ?? 0;
    return candidate > weight || (candidate === weight && (this.ids[i] ?? 0) < id);
  }

  #swap(i: number, j: number): void {
    const weight = this.weights[i] ?? 0;
    const id = this.ids[i] ?? 0;
    this.weights[i] = this.weights[j] ?? 0;
    this.ids[i] = this.ids[j] ?? 0;
    this.weights[j] = weight;
    this.ids[j] = id;
  }

  /** Puts the entries of [low, high) that come before a pivot in front of it; answers the pivot's place. */
  #partition(low: number, high: number): number {
    const last = high - 1;
    const middle = (low + last) >> 1;
    // Median of three, moved to the end.
    if (this.#before(middle, this.weights[low] ?? 0, this.ids[low] ?? 0)) this.#swap(middle, low);
    if (this.#before(last, this.weights[low] ?? 0, this.ids[low] ?? 0)) this.#swap(last, low);
    if (this.#before(middle, this.weights[last] ?? 0, this.ids[last] ?? 0)) this.#swap(middle, last);
    const weight = this.weights[last] ?? 0;
    const id = this.ids[last] ?? 0;
    let place = low;
    for (let i = low; i < last; i++) {
      if (this.#before(i, weight, id)) this.#swap(i, place++);
    }
    this.#swap(place, last);
    return place;
  }

  #insertionSort(low: number, high: number): void {
    for (let i = low + 1; i < high; i++) {
      const weight = this.weights[i] ?? 0;
      const id = this.ids[i] ?? 0;
      let j = i;
      while (j > low && !this.#before(j - 1, weight, id)) {
        this.weights[j] = this.weights[j - 1] ?? 0;
        this.ids[j] = this.ids[j - 1] ?? 0;
        j--;
      }
      this.weights[j] = weight;
      this.ids[j] = id;
    }
  }
}
