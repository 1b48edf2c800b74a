/**
 * A model on the device with all that is under way on it. Owns its sequences: each is in exactly one of `waiting`,
 * `prefilling` and `decoding` until it is finished.
 */
import { CortexError } from '@cortex/core';
import type { DeviceModel, ModelSequence } from '../model/device-model.ts';
import { GrammarCache } from '../sampling/grammar/token-constraint.ts';
import { ThinkingBudget } from '../sampling/thinking-budget.ts';
import { VocabularyTrie } from '../sampling/grammar/vocabulary-trie.ts';
import type { SamplingParams } from '../sampling/params.ts';
import { Sampler, type SamplerWorkspace } from '../sampling/sampler.ts';
import { ChunkPace } from './chunk-pace.ts';
import { DraftSources } from './draft-sources.ts';
import { afterServing, nextInLine, urgentFirst, type Caller } from './fair-order.ts';
import { PrefixCache } from './prefix/prefix-cache.ts';
import { PredictorPace } from './predictor-pace.ts';
import type { PromptImages } from './prompt-images.ts';
import type { GenerateSpec, LoadedFacts, LoadSpec, ModelCounts } from './protocol.ts';
import type { ModelState } from './scheduler.ts';
import type { Sequence, SequenceSampling } from './sequence.ts';
import { WorkRate } from './work-rate.ts';

/** A sequence driven by jobs, under the name its caller gave it. */
export interface ManualSequence {
  readonly room: ModelSequence;
  images: PromptImages | null;
}

const running = (sequence: Sequence): boolean => !sequence.isFinished;

export class LoadedModel implements ModelState, Disposable {
  readonly spec: LoadSpec;
  readonly model: DeviceModel;
  readonly chunkMax: number;
  readonly prefixes: PrefixCache;
  readonly manual = new Map<string, ManualSequence>();
  readonly chunkPace: ChunkPace;
  readonly prefillRate = new WorkRate();
  readonly decodeRate = new WorkRate();
  waiting: Sequence[] = [];
  prefilling: Sequence[] = [];
  decoding: Sequence[] = [];
  lastWasPrefill = false;
  readonly #workspace: SamplerWorkspace;
  readonly #predictorPace: PredictorPace;
  #grammars: GrammarCache | null = null;

  constructor(spec: LoadSpec, model: DeviceModel, workspace: SamplerWorkspace) {
    this.spec = spec;
    this.model = model;
    this.chunkMax = Math.max(spec.chunkMax, 1);
    this.chunkPace = new ChunkPace(spec.prefillStepMs);
    this.#workspace = workspace;
    this.#predictorPace = new PredictorPace(spec.draftMax ?? 0);
    const { control } = spec.vocabulary;
    const banned = new Set(spec.bannedIds);
    const isControl = (id: number): boolean => control[id] === 1 && !banned.has(id);
    this.prefixes = new PrefixCache(model, { hostBytesMax: spec.prefixHostBytesMax, isControl });
  }

  get facts(): LoadedFacts {
    const { contextMax, kvTokens, nSlots, bytes, memberBytes, parts, finer, hasVision, hiddenSize } = this.model;
    return { contextMax, kvTokens, nSlots, bytes, memberBytes, parts, finer, hasVision, hiddenSize };
  }

  get chunkMaxBetween(): number {
    return this.chunkPace.nTokens;
  }

  get nInFlight(): number {
    return this.prefilling.length + this.decoding.length;
  }

  get counts(): ModelCounts {
    return {
      modelId: this.spec.modelId,
      inFlight: this.nInFlight,
      queueDepth: this.waiting.length,
      tokSPrefill: this.prefillRate.tokensPerSecond,
      tokSDecode: this.decodeRate.tokensPerSecond,
    };
  }

  /** For one sequence. */
  draftSources(): DraftSources {
    return new DraftSources(this.model, this.spec.draftMax ?? 0, this.#predictorPace);
  }

  /** @throws CortexError for a bias or constraint that does not fit the vocabulary. */
  sampling(params: SamplingParams, spec: GenerateSpec): SequenceSampling {
    const nVocab = Math.min(this.spec.vocabulary.control.length, this.model.nLogits);
    const sampler = new Sampler(params, { nVocab, bannedIds: this.spec.bannedIds, workspace: this.#workspace });
    sampler.observePrompt(spec.promptIds);
    const thinking = spec.thinking === undefined ? null : new ThinkingBudget(spec.thinking);
    if (spec.constraint === null) return { sampler, constraint: null, thinking };
    this.#grammars ??= new GrammarCache(new VocabularyTrie(this.spec.vocabulary, this.spec.trie));
    return { sampler, constraint: this.#grammars.constraint(spec.constraint, spec.eosIds), thinking };
  }

  /** Gives waiting sequences their room, in turn: none overtakes one that needs more. */
  admit(): void {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      try {
        if (!next.admit()) {
          if (this.#isHeld) break;
          throw new CortexError('overloaded', `there is no room for ${next.generation.nTokensReserved} tokens`);
        }
        this.waiting.splice(this.waiting.indexOf(next), 1);
        this.prefilling.push(next);
        next.generation.admitted();
      } catch (error) {
        next.generation.fail(error);
        this.dropFinished();
      }
    }
    this.prefilling = urgentFirst(this.prefilling);
    const [first] = this.prefilling;
    try {
      first?.prepare();
    } catch (error) {
      first?.generation.fail(error);
      this.dropFinished();
    }
  }

  #next(): Sequence | undefined {
    if (this.waiting.length === 0 || this.nInFlight + this.manual.size >= this.model.nSlots) return undefined;
    const callers = [...this.prefilling, ...this.decoding].map(({ caller }) => caller);
    return this.waiting[nextInLine(this.waiting, callers)];
  }

  /** Prompts of others come before the next chunk of this client's. */
  served({ client }: Caller): void {
    this.prefilling = afterServing(this.prefilling, client);
  }

  /** Whether anything has room that it will give back. */
  get #isHeld(): boolean {
    return this.nInFlight + this.manual.size > 0;
  }

  dropFinished(): void {
    this.waiting = this.waiting.filter(running);
    this.prefilling = this.prefilling.filter(running);
    this.decoding = this.decoding.filter(running);
  }

  resetManual(name: string): void {
    const sequence = this.manual.get(name);
    this.manual.delete(name);
    sequence?.images?.[Symbol.dispose]();
    sequence?.room[Symbol.dispose]();
  }

  /** The generations on it must have ended. */
  [Symbol.dispose](): void {
    for (const name of this.manual.keys()) this.resetManual(name);
    this.prefixes[Symbol.dispose]();
    this.model[Symbol.dispose]();
  }
}
