/**
 * How many bytes of request bodies may be in memory at once, over all requests. A single body has its own limit;
 * this one keeps many at that limit from adding up.
 */
import { CortexError } from '../errors.ts';

export class BodyBudget {
  readonly #bytesMax: number;
  #bytesHeld = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytesHeld(): number {
    return this.#bytesHeld;
  }

  /** @throws CortexError `overloaded`; then nothing was taken. */
  take(bytes: number): void {
    if (this.#bytesHeld + bytes > this.#bytesMax) {
      throw new CortexError('overloaded', 'too many large requests at once', { retryAfterSecs: 2 });
    }
    this.#bytesHeld += bytes;
  }

  give(bytes: number): void {
    this.#bytesHeld -= bytes;
  }
}
