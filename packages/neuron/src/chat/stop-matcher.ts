/**
 * Stop strings over a stream of text pieces. Everything before the stop is released, nothing of it nor after it;
 * held back is only the end of the text that may yet become a stop.
 */
import { partialSuffixLength } from './output-lookahead.ts';

export interface StopStep {
  /** Text that is certain to belong to the answer. */
  readonly text: string;
  /** The stop string that ended it, and what followed it in the pieces so far. */
  readonly stop?: { readonly matched: string; readonly rest: string };
}

export class StopMatcher {
  readonly #stops: readonly string[];
  #held = '';

  /** Empty stop strings, which some clients send for "none", are left out. */
  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '');
  }

  /**
   * The stop that completes first wins, of two that complete together the longer one: what a reader comparing after
   * every character would find, however the text was cut into pieces. After a stop the matcher starts afresh.
   */
  push(piece: string): StopStep {
    const text = this.#held + piece;
    const found = this.#firstStop(text);
    if (found !== null) {
      this.#held = '';
      const end = found.start + found.matched.length;
      return { text: text.slice(0, found.start), stop: { matched: found.matched, rest: text.slice(end) } };
    }
    const keep = text.length - partialSuffixLength(text, this.#stops);
    this.#held = text.slice(keep);
    return { text: text.slice(0, keep) };
  }

  /** The text held back: no stop can be completed any more. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  #firstStop(text: string): { start: number; matched: string } | null {
    let best: { start: number; matched: string } | null = null;
    for (const matched of this.#stops) {
      const start = text.indexOf(matched);
      if (start < 0) continue;
      const ahead = best === null ? -1 : start + matched.length - (best.start + best.matched.length);
      if (best === null || ahead < 0 || (ahead === 0 && start < best.start)) best = { start, matched };
    }
    return best;
  }
}
