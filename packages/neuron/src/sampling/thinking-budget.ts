/**
 * How long a sequence may think. Once that many tokens have been, what ends the reasoning is forced token by token, as
 * vLLM's `thinking_token_budget` and llama.cpp's reasoning budget do; reasoning that ends by itself ends the count.
 */
import type { LogitsMask } from './sampler.ts';

/** Plain data: it crosses threads. */
export interface ThinkingBudgetSpec {
  /** Tokens of reasoning; its opening and its end are none of them. */
  readonly tokensMax: number;
  /** Ids that open it; null: the prompt has opened it. */
  readonly opening: readonly number[] | null;
  /** What ends it, by ids: the first is what is forced, the others end it as well. */
  readonly endings: readonly [readonly number[], ...(readonly number[])[]];
}

/** A model that thinks opens its reasoning at once, but for a line end or two. */
const openingTokensMax = 8;

type Phase = 'before' | 'thinking' | 'forced' | 'over';

export class ThinkingBudget implements LogitsMask {
  readonly #spec: ThinkingBudgetSpec;
  /** What has been said in this phase. */
  #said: number[] = [];
  #phase: Phase;

  constructor(spec: ThinkingBudgetSpec) {
    this.#spec = spec;
    this.#phase = spec.opening === null ? 'thinking' : 'before';
  }

  /** Bars all tokens but the one that is due, once the budget is spent. */
  mask(logits: Float32Array): void {
    const { tokensMax, endings } = this.#spec;
    if (this.#phase === 'thinking' && this.#said.length >= tokensMax) this.#force(endings[0]);
    const due = this.#phase === 'forced' ? endings[0][this.#said.length] : undefined;
    if (due === undefined) return;
    logits.fill(-Infinity);
    logits[due] = 0;
  }

  /** Tells what was said. */
  accept(id: number): void {
    if (this.#phase === 'over') return;
    this.#said.push(id);
    const { opening, endings } = this.#spec;
    switch (this.#phase) {
      case 'before':
        if (this.#endsIn(opening ?? [])) this.#enter('thinking');
        else if (this.#said.length >= openingTokensMax) this.#enter('over');
        return;
      case 'thinking':
        if (endings.some((ending) => this.#endsIn(ending))) this.#enter('over');
        return;
      case 'forced':
        if (this.#said.length >= endings[0].length) this.#enter('over');
    }
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#said = [];
  }

  /** From where the model has got to by itself. */
  #force(ending: readonly number[]): void {
    let nSaid = Math.min(ending.length - 1, this.#said.length);
    while (nSaid > 0 && !this.#endsIn(ending.slice(0, nSaid))) nSaid -= 1;
    this.#enter('forced');
    this.#said = ending.slice(0, nSaid);
  }

  #endsIn(ids: readonly number[]): boolean {
    const offset = this.#said.length - ids.length;
    return ids.length > 0 && offset >= 0 && ids.every((id, i) => this.#said[offset + i] === id);
  }
}
