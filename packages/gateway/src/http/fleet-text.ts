/**
 * The fleet's snapshot as JSON, taken once for everybody who watches, and the more rarely the larger it is: a page wants
 * it once a second, but a thousand nodes shall not keep the gateway busy with describing them.
 */
import type { FleetSnapshot } from '@cortex/core';

const everyMs = 1000;
/** Of text, at most. */
const charsPerMs = 500;

export class FleetText {
  readonly #take: () => FleetSnapshot;
  readonly #now: () => number;
  #text = '';
  #freshUntilMs = -Infinity;

  constructor(take: () => FleetSnapshot, now: () => number = () => performance.now()) {
    this.#take = take;
    this.#now = now;
  }

  /** The same string until there is a newer one. */
  read(): string {
    const nowMs = this.#now();
    if (nowMs >= this.#freshUntilMs) {
      this.#text = JSON.stringify(this.#take());
      this.#freshUntilMs = nowMs + Math.max(everyMs, this.#text.length / charsPerMs);
    }
    return this.#text;
  }
}
