/**
 * One sequence's sampler: a row of logits in, a token out. The order is penalties → logit bias → barred tokens →
 * constraint → temperature → top_k → top_p → min_p → draw. A step allocates nothing that grows with the vocabulary.
 */
import { CortexError } from '@cortex/core';
import { argmax } from './argmax.ts';
import { Candidates } from './candidates.ts';
import { logSumExp, topLogprobs, type TokenLogprob } from './log-probs.ts';
import type { SamplingParams } from './params.ts';
import { Penalties } from './penalties.ts';
import { Random } from './random.ts';
import { selectCandidates } from './selection.ts';
import { TopHeap } from './top-heap.ts';

/** Whatever may forbid tokens for one step, by setting their logits to -Infinity. */
export interface LogitsMask {
  mask(logits: Float32Array): void;
}

/** Buffers as long as a vocabulary, made at first need. Samplers of one thread share one. */
export class SamplerWorkspace {
  readonly candidates = new Candidates();
  readonly heap = new TopHeap();
  #raw = new Float32Array(0);

  /** A copy of the first nVocab logits, valid until the next call. */
  copyOf(logits: Float32Array, nVocab: number): Float32Array {
    if (this.#raw.length < nVocab) this.#raw = new Float32Array(nVocab);
    this.#raw.set(logits.subarray(0, nVocab));
    return this.#raw;
  }
}

export interface SamplerContext {
  /** Size of the real vocabulary: logits from here on are padding rows and never sampled. */
  readonly nVocab: number;
  /** Ids that are never sampled whatever the bias, such as the vision placeholders. */
  readonly bannedIds: readonly number[];
  readonly workspace?: SamplerWorkspace;
}

export interface SampleOptions {
  readonly constraint?: LogitsMask | undefined;
  /** How many alternatives to report; 0 only the sampled token's own log-probability, null nothing. */
  readonly nTopLogprobs: number | null;
}

export interface Sampled {
  readonly id: number;
  /** See `log-probs.ts`; null when `nTopLogprobs` was. */
  readonly logprob: number | null;
  /** Likeliest first; may lack the sampled token, and may name one that a constraint forbade. */
  readonly top: readonly TokenLogprob[];
}

/** Below this a temperature is greedy: dividing by it would overflow. */
const temperatureMin = 1e-5;

export class Sampler {
  readonly #params: SamplingParams;
  readonly #nVocab: number;
  readonly #bannedIds: readonly number[];
  readonly #workspace: SamplerWorkspace;
  readonly #penalties: Penalties;
  readonly #random: Random;

  /** Throws `invalid_request` for a biased id outside the vocabulary. */
  constructor(params: SamplingParams, context: SamplerContext) {
    const stray = params.logitBias.find(([id]) => !(id >= 0 && id < context.nVocab));
    if (stray !== undefined) {
      throw new CortexError(
        'invalid_request',
        `logit_bias names token ${stray[0]}, but the vocabulary has ${context.nVocab} tokens`,
        { param: 'logit_bias' },
      );
    }
    this.#params = params;
    this.#nVocab = context.nVocab;
    this.#bannedIds = context.bannedIds.filter((id) => id >= 0 && id < context.nVocab);
    this.#workspace = context.workspace ?? new SamplerWorkspace();
    this.#penalties = new Penalties(params, context.nVocab);
    this.#random = new Random(params.seed);
  }

  /** Tells the repetition penalty which tokens the prompt holds. */
  observePrompt(ids: ArrayLike<number>): void {
    this.#penalties.observePrompt(ids);
  }

  /** Tells the penalties that `id` is now part of the output: the sampled one, or one forced in its place. */
  accept(id: number): void {
    this.#penalties.observeGenerated(id);
  }

  /**
   * The next token. `logits` has at least nVocab values, F32, and is used up: penalties and masks are written into it.
   * Throws `internal_error` when a logit that may be chosen is NaN or +Infinity, or when none is left.
   */
  sample(logits: Float32Array, options: SampleOptions): Sampled {
    if (logits.length < this.#nVocab) {
      throw new CortexError(
        'internal_error',
        `the model produced ${logits.length} logits for a vocabulary of ${this.#nVocab} tokens`,
      );
    }
    const { nTopLogprobs } = options;
    if (nTopLogprobs === null) return { id: this.#choose(logits, options.constraint), logprob: null, top: [] };

    const raw = this.#workspace.copyOf(logits, this.#nVocab);
    const logTotal = logSumExp(raw, this.#nVocab);
    const top = topLogprobs(raw, this.#nVocab, nTopLogprobs, logTotal, this.#workspace.heap);
    const id = this.#choose(logits, options.constraint);
    return { id, logprob: (raw[id] ?? -Infinity) - logTotal, top };
  }

  #choose(logits: Float32Array, constraint: LogitsMask | undefined): number {
    this.#penalties.apply(logits);
    for (const [id, bias] of this.#params.logitBias) logits[id] = (logits[id] ?? 0) + bias;
    for (const id of this.#bannedIds) logits[id] = -Infinity;
    constraint?.mask(logits);

    const id = this.#pick(logits);
    if (id < 0) throw new CortexError('internal_error', 'every token is barred: nothing is left to sample');
    return id;
  }

  #pick(logits: Float32Array): number {
    if (this.#params.temperature < temperatureMin) return argmax(logits, this.#nVocab);
    const { candidates, heap } = this.#workspace;
    selectCandidates(logits, this.#nVocab, this.#params, candidates, heap);
    return candidates.draw(this.#random);
  }
}
