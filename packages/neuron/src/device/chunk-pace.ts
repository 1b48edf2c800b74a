/**
 * How many tokens of a prompt make a step of about a given length: from what earlier chunks took. Running answers wait
 * that long for their next token while somebody else's prompt is computed.
 */

/** Fewer would waste more on the step than they take. */
const chunkMin = 8;
/** Before anything has been measured. */
const chunkStart = 32;
/** Weight of the latest chunk. */
const weight = 0.3;

export class ChunkPace {
  readonly #stepMs: number;
  #msPerToken: number | null = null;

  constructor(stepMs: number) {
    this.#stepMs = stepMs;
  }

  note(nTokens: number, ms: number): void {
    const latest = ms / nTokens;
    // A few tokens behind a boundary tell of the step and not of its tokens.
    if (nTokens < chunkMin) return;
    this.#msPerToken = this.#msPerToken === null ? latest : this.#msPerToken + weight * (latest - this.#msPerToken);
  }

  get nTokens(): number {
    if (this.#msPerToken === null) return chunkStart;
    return Math.max(chunkMin, Math.floor(this.#stepMs / Math.max(this.#msPerToken, 1e-6)));
  }
}
