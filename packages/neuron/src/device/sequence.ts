/**
 * One choice of a generation: a sequence that waits for room, prefills its prompt, then decodes until something ends
 * it. It holds its room on the device from `admit` to `release`.
 */
import { CortexError } from '@cortex/core';
import type { ModelSequence } from '../model/device-model.ts';
import type { LogitsMask, Sampler } from '../sampling/sampler.ts';
import type { ThinkingBudget } from '../sampling/thinking-budget.ts';
import type { TokenConstraint } from '../sampling/grammar/token-constraint.ts';
import type { DraftOutcome } from './draft-pace.ts';
import type { DraftSources, Guess } from './draft-sources.ts';
import type { Caller, InLine } from './fair-order.ts';
import type { Generation } from './generation.ts';
import type { PrefixCache, RunningPrefix } from './prefix/prefix-cache.ts';
import { PrefixText } from './prefix/prefix-text.ts';
import type { PrefillState } from './scheduler.ts';

/** What ended a choice. */
export type FinishCause = 'eos' | 'length' | 'stopped';

export interface SequenceSampling {
  readonly sampler: Sampler;
  readonly constraint: TokenConstraint | null;
  readonly thinking: ThinkingBudget | null;
}

/** The end of the reasoning goes before what must come after it. */
const maskOf = ({ constraint, thinking }: SequenceSampling): LogitsMask | undefined => {
  if (constraint === null || thinking === null) return constraint ?? thinking ?? undefined;
  return {
    mask: (logits) => {
      constraint.mask(logits);
      thinking.mask(logits);
    },
  };
};

export class Sequence implements PrefillState, InLine {
  readonly generation: Generation;
  readonly choice: number;
  readonly #sinceMs = performance.now();
  readonly #prefixes: PrefixCache;
  readonly #sampling: SequenceSampling;
  readonly #mask: LogitsMask | undefined;
  readonly #text: PrefixText;
  readonly #drafts: DraftSources;
  #running: RunningPrefix | null = null;
  #nCached = 0;
  #nPrefilled = 0;
  #nGenerated = 0;
  #lastId = 0;
  #isFinished = false;

  constructor(generation: Generation, choice: number, sampling: SequenceSampling) {
    this.generation = generation;
    this.choice = choice;
    this.#prefixes = generation.model.prefixes;
    this.#sampling = sampling;
    this.#mask = maskOf(sampling);
    this.#drafts = generation.model.draftSources();
    this.#text = new PrefixText(generation.spec.promptIds, generation.images?.places);
  }

  /** It ends with its prompt, in a hidden state. */
  get isForHidden(): boolean {
    return this.generation.spec.output === 'hidden';
  }

  get caller(): Caller {
    return this.generation.spec.caller;
  }

  get waitedMs(): number {
    return performance.now() - this.#sinceMs;
  }

  get room(): ModelSequence {
    return this.#prefix.room;
  }

  get #prefix(): RunningPrefix {
    if (this.#running === null) throw new CortexError('internal_error', 'a sequence without room was run');
    return this.#running;
  }

  get nImagesLeft(): number {
    return this.generation.images?.nLeft(this.#nPrefilled) ?? 0;
  }

  get nUntilBoundary(): number {
    return this.#prefixes.nUntilBoundary(this.#prefix);
  }

  /** Tokens of its prompt that were known already. */
  get nCached(): number {
    return this.#nCached;
  }

  get nPrefilled(): number {
    return this.#nPrefilled;
  }

  get nPromptLeft(): number {
    return this.generation.spec.promptIds.length - this.#nPrefilled;
  }

  get isFinished(): boolean {
    return this.#isFinished;
  }

  /** The token to decode next: the last one sampled. */
  get lastId(): number {
    return this.#lastId;
  }

  /** Takes its room; false when there is none now. */
  admit(): boolean {
    const { nTokensReserved } = this.generation;
    this.#running = this.isForHidden
      ? this.#prefixes.openAlone(this.#text, nTokensReserved)
      : this.#prefixes.open(this.#text, nTokensReserved);
    this.#noteCached();
    return this.#running !== null;
  }

  /** Before its next step: until it has computed anything, others may do so for it. */
  prepare(): void {
    if (this.isForHidden || this.#nPrefilled > this.#nCached) return;
    this.#prefixes.begin(this.#prefix);
    this.#noteCached();
  }

  prefilled(nTokens: number): void {
    this.#nPrefilled += nTokens;
    this.#prefixes.computed(this.#prefix);
  }

  #noteCached(): void {
    this.#nCached = this.#running?.nCached ?? 0;
    this.#nPrefilled = this.#nCached;
  }

  /** Tells the vector, and ends. Always false: it does not go on. */
  finishHidden(vector: Float32Array): false {
    // A copy: the next step's results come to where the row is.
    this.generation.events.push({ kind: 'hidden', choice: this.choice, vector: vector.slice() });
    return this.finish('length');
  }

  /** Samples from a row of logits, which it uses up, and notes the events. Returns whether the sequence goes on. */
  sampleNext(logits: Float32Array): boolean {
    const { spec, events } = this.generation;
    if (spec.tokensMax < 1) return this.finish('length');
    const { sampler, constraint, thinking } = this.#sampling;
    const { id, logprob, top } = sampler.sample(logits, {
      constraint: this.#mask,
      nTopLogprobs: spec.nTopLogprobs,
    });
    if (spec.eosIds.includes(id)) return this.finish('eos');
    sampler.accept(id);
    constraint?.accept(id);
    thinking?.accept(id);
    this.#text.push(id);
    this.#lastId = id;
    this.#nGenerated += 1;
    events.push({ kind: 'token', choice: this.choice, token: { id, logprob, top } });
    // The last token is not computed yet, and would have to be for another.
    const isFull = this.#text.length > this.room.nTokensMax;
    return this.#nGenerated >= spec.tokensMax || isFull ? this.finish('length') : true;
  }

  /** What may follow the last token; null where there is no guess or it would not pay. */
  guess(): Guess | null {
    const nLeft = Math.min(this.generation.spec.tokensMax - this.#nGenerated, this.room.nTokensMax - this.#text.length);
    const { room } = this;
    return this.#drafts.guess({ ids: this.#text.ids, room, lastId: this.#lastId }, nLeft - 1);
  }

  /** After a step of one token for it alone. */
  notePlain(ms: number): void {
    this.#drafts.notePlain(ms);
  }

  /** After a step that ran ahead on a guess. */
  noteDraft(guess: Guess, outcome: DraftOutcome): void {
    this.#drafts.noteDraft(guess, outcome);
    this.generation.noteDraft(outcome);
  }

  get nGenerated(): number {
    return this.#nGenerated;
  }

  /** Ends it and gives back its room. Always false: it does not go on. */
  finish(cause: FinishCause): false {
    if (this.#isFinished) return false;
    this.release(!this.isForHidden);
    this.generation.events.push({ kind: 'finished', choice: this.choice, cause });
    this.generation.choiceFinished();
    return false;
  }

  /** Gives back its room without a word. `isWhole`: no step of it has failed, and what it computed may be kept. */
  release(isWhole: boolean): void {
    this.#isFinished = true;
    if (this.#running !== null) this.#prefixes.close(this.#running, isWhole);
    this.#running = null;
  }
}
