/** Tokens a second over the last minute of work: idle time neither counts nor ages the figure. */

const bucketMs = 1000;
const nBucketsMax = 60;

export class WorkRate {
  /** The last one is being filled. */
  readonly #buckets: { nTokens: number; ms: number }[] = [];

  add(nTokens: number, ms: number): void {
    let bucket = this.#buckets.at(-1);
    if (bucket === undefined || bucket.ms >= bucketMs) {
      bucket = { nTokens: 0, ms: 0 };
      this.#buckets.push(bucket);
      if (this.#buckets.length > nBucketsMax) this.#buckets.shift();
    }
    bucket.nTokens += nTokens;
    bucket.ms += ms;
  }

  /** Null before any work. */
  get tokensPerSecond(): number | null {
    const ms = this.#buckets.reduce((sum, bucket) => sum + bucket.ms, 0);
    const nTokens = this.#buckets.reduce((sum, bucket) => sum + bucket.nTokens, 0);
    return ms > 0 ? (nTokens * 1000) / ms : null;
  }
}
