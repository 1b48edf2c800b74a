/**
 * What a sequence has said so far, and what that takes off its logits. Work per step is proportional to the number
 * of distinct tokens seen, never to the vocabulary.
 */
import type { SamplingParams } from './params.ts';

export class Penalties {
  readonly #presence: number;
  readonly #frequency: number;
  readonly #repetition: number;
  readonly #nVocab: number;
  readonly #slots = new Map<number, number>();
  readonly #ids: number[] = [];
  /** Parallel to `#ids`; zero for tokens seen in the prompt only. */
  readonly #nGenerated: number[] = [];

  constructor(params: SamplingParams, nVocab: number) {
    this.#presence = params.presencePenalty;
    this.#frequency = params.frequencyPenalty;
    this.#repetition = params.repetitionPenalty;
    this.#nVocab = nVocab;
  }

  get active(): boolean {
    return this.#presence !== 0 || this.#frequency !== 0 || this.#repetition !== 1;
  }

  /** Only the repetition penalty looks at the prompt. */
  observePrompt(ids: ArrayLike<number>): void {
    if (this.#repetition === 1) return;
    for (let i = 0; i < ids.length; i++) this.#count(ids[i] ?? -1, 0);
  }

  observeGenerated(id: number): void {
    if (this.active) this.#count(id, 1);
  }

  #count(id: number, times: number): void {
    if (id < 0 || id >= this.#nVocab) return;
    const slot = this.#slots.get(id);
    if (slot === undefined) {
      this.#slots.set(id, this.#ids.length);
      this.#ids.push(id);
      this.#nGenerated.push(times);
    } else {
      this.#nGenerated[slot] = (this.#nGenerated[slot] ?? 0) + times;
    }
  }

  /** Repetition first (it scales the model's own logit), then presence and frequency, as vLLM does. */
  apply(logits: Float32Array): void {
    if (!this.active) return;
    for (let slot = 0; slot < this.#ids.length; slot++) {
      const id = this.#ids[slot] ?? 0;
      const nGenerated = this.#nGenerated[slot] ?? 0;
      let logit = logits[id] ?? 0;
      logit = logit > 0 ? logit / this.#repetition : logit * this.#repetition;
      if (nGenerated > 0) logit -= this.#presence + this.#frequency * nGenerated;
      logits[id] = logit;
    }
  }
}
