/**
 * One request on the device: a prompt, its images, and a sequence for each choice. Events gather here during a step
 * and are posted once after it. It ends in exactly one of: done, failed, cancelled.
 */
import { CortexError } from '@cortex/core';
import type { DraftOutcome } from './draft-pace.ts';
import type { LoadedModel } from './loaded-model.ts';
import { PromptImages } from './prompt-images.ts';
import type { GenerateEvent, GenerateSpec } from './protocol.ts';
import { Sequence } from './sequence.ts';

export type GenerationState =
  | { readonly kind: 'running' }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: CortexError }
  | { readonly kind: 'cancelled' };

const checkSpec = (spec: GenerateSpec, tokensMax: number): void => {
  const nPrompt = spec.promptIds.length;
  if (nPrompt === 0) throw new CortexError('invalid_request', 'the prompt has no tokens');
  if (spec.choices.length === 0) throw new CortexError('invalid_request', 'no choices are asked for', { param: 'n' });
  if (nPrompt > tokensMax) {
    throw new CortexError('context_length_exceeded', `the prompt has ${nPrompt} tokens; ${tokensMax} fit`, {
      facts: { model_id: spec.modelId, limit: tokensMax, got: nPrompt },
    });
  }
};

export class Generation {
  readonly jobId: number;
  readonly spec: GenerateSpec;
  readonly model: LoadedModel;
  readonly images: PromptImages | null;
  readonly sequences: readonly Sequence[];
  /** Room that each of its sequences takes. */
  readonly nTokensReserved: number;
  /** Since they were last taken. */
  readonly events: GenerateEvent[] = [];
  #state: GenerationState = { kind: 'running' };
  #isAdmitted = false;
  #prefillMs = 0;
  #decodeMs = 0;
  #nDrafted = 0;
  #nDraftedRight = 0;

  /** @throws CortexError for a request that cannot run on this model. */
  constructor(jobId: number, spec: GenerateSpec, model: LoadedModel) {
    const { contextMax, kvTokens } = model.model;
    const tokensMax = Math.min(contextMax, kvTokens);
    checkSpec(spec, tokensMax);
    this.jobId = jobId;
    this.spec = spec;
    this.model = model;
    this.nTokensReserved = Math.min(spec.promptIds.length + Math.max(spec.tokensMax, 0), tokensMax);
    this.images = spec.vision === null ? null : new PromptImages(spec.promptIds, spec.vision, model.model.imageTokenId);
    this.sequences = spec.choices.map(({ sampling }, choice) => {
      return new Sequence(this, choice, model.sampling(sampling, spec));
    });
  }

  get state(): GenerationState {
    return this.#state;
  }

  get nPromptTokens(): number {
    return this.spec.promptIds.length;
  }

  admitted(): void {
    if (!this.#isAdmitted) this.events.push({ kind: 'admitted' });
    this.#isAdmitted = true;
  }

  /** After an image or a chunk that took `ms`. */
  notePrefill(ms: number): void {
    this.#prefillMs += ms;
    const done = this.sequences.reduce((sum, sequence) => sum + sequence.nPrefilled, 0);
    this.events.push({ kind: 'prefill', done, total: this.nPromptTokens * this.sequences.length });
    if (this.sequences.every((sequence) => sequence.isFinished || sequence.nPromptLeft === 0)) this.#freeImages();
  }

  /** After a decode step it took part in. */
  noteDecode(ms: number): void {
    this.#decodeMs += ms;
  }

  noteDraft({ nDrafted, nRight }: DraftOutcome): void {
    this.#nDrafted += nDrafted;
    this.#nDraftedRight += nRight;
  }

  choiceFinished(): void {
    if (this.#state.kind !== 'running' || !this.sequences.every((sequence) => sequence.isFinished)) return;
    this.#freeImages();
    this.events.push({
      kind: 'done',
      nPromptTokens: this.nPromptTokens,
      // The prompt is counted once, so are those of its tokens that were known before any choice.
      nCachedTokens: this.sequences[0]?.nCached ?? 0,
      prefillMs: this.#prefillMs,
      decodeMs: this.#decodeMs,
      nDrafted: this.#nDrafted,
      nDraftedRight: this.#nDraftedRight,
      nGenerated: this.sequences.reduce((sum, sequence) => sum + sequence.nGenerated, 0),
    });
    this.#state = { kind: 'done' };
  }

  stopChoice(choice: number): void {
    this.sequences[choice]?.finish('stopped');
  }

  fail(thrown: unknown): void {
    this.#end({ kind: 'failed', error: CortexError.from(thrown) });
  }

  cancel(): void {
    this.#end({ kind: 'cancelled' });
  }

  #end(state: GenerationState): void {
    if (this.#state.kind !== 'running') return;
    this.#state = state;
    for (const sequence of this.sequences) sequence.release(state.kind === 'cancelled' && !sequence.isForHidden);
    this.#freeImages();
  }

  #freeImages(): void {
    this.images?.[Symbol.dispose]();
  }
}
