/**
 * What crosses between the main thread and a device's worker: jobs in, answers and events out. Plain data and shared
 * memory only; tensors, caches and embeddings stay in the worker.
 */
import type { FinerWeights } from '../model/weight-plan.ts';
import type { ErrorData } from '@cortex/core';
import type { CompiledConstraint } from '../sampling/grammar/compile-constraint.ts';
import type { ThinkingBudgetSpec } from '../sampling/thinking-budget.ts';
import type { TrieArrays } from '../sampling/grammar/vocabulary-trie.ts';
import type { SamplingParams } from '../sampling/params.ts';
import type { Caller } from './fair-order.ts';
import type { VocabularyData } from '../tokenizer/vocabulary.ts';
import type { MropePositions } from '../vision/mrope-positions.ts';
import type {
  DeviceHostOptions,
  DeviceMemory,
  ForwardOutput,
  ImageInput,
  LoadProgress,
  ModelOptions,
  ModelPart,
} from '../model/device-model.ts';

/** What a device's thread is started with. */
export interface DeviceWorkerSetup {
  /** The thread's name, such as `cpu-dev-0`. */
  readonly name: string;
  /** Module that exports `openDevice`. */
  readonly hostUrl: string;
  readonly host: DeviceHostOptions;
  readonly heartbeat: SharedArrayBuffer;
  /** Sequences that may wait for room; more are answered `overloaded`. */
  readonly waitingMax: number;
}

export interface LoadSpec extends ModelOptions {
  /** Bytes of every token, for constrained sampling. */
  readonly vocabulary: VocabularyData;
  /** The same, ready for constraints; null: it is built at the first one, in the device's thread. */
  readonly trie: TrieArrays | null;
  /** Ids never sampled: the vision placeholders. Rows beyond the vocabulary are never sampled either. */
  readonly bannedIds: readonly number[];
  /** Host memory for prefixes of prompts (see `prefix/design.md`); null: none are kept, on the device neither. */
  readonly prefixHostBytesMax: number | null;
  /** How long a chunk of a prompt may take about while answers are running. */
  readonly prefillStepMs: number;
}

export interface LoadedFacts {
  readonly contextMax: number;
  readonly kvTokens: number;
  readonly nSlots: number;
  readonly bytes: number;
  /** Of each of several devices: see `DeviceModel.memberBytes`. */
  readonly memberBytes: readonly number[];
  /** Of a spread: see `DeviceModel.parts`. */
  readonly parts: readonly ModelPart[];
  /** See `DeviceModel.finer`. */
  readonly finer: readonly FinerWeights[];
  readonly hasVision: boolean;
  readonly hiddenSize: number;
}

export interface VisionInput {
  readonly positions: MropePositions;
  readonly images: readonly ImageInput[];
}

/** One request: a prompt, sampled once for each of its choices, or run for what it leads to in the model. */
export interface GenerateSpec {
  readonly modelId: string;
  readonly caller: Caller;
  /** Image pads expanded. */
  readonly promptIds: Int32Array;
  readonly vision: VisionInput | null;
  readonly choices: readonly { readonly sampling: SamplingParams }[];
  readonly constraint: CompiledConstraint | null;
  /** Absent: it may think as long as it likes. */
  readonly thinking?: ThinkingBudgetSpec;
  readonly eosIds: readonly number[];
  readonly tokensMax: number;
  /** `hidden`: the final hidden state of the prompt's last token instead of an answer. Tokens by default. */
  readonly output?: 'tokens' | 'hidden';
  readonly nTopLogprobs: number | null;
}

/** Jobs that are answered once. `prefill`, `decode` and `reset` drive one sequence by hand, as `verify` does. */
export type DeviceJob =
  | { readonly kind: 'load'; readonly spec: LoadSpec }
  | { readonly kind: 'unload'; readonly modelId: string }
  | { readonly kind: 'memory' }
  | { readonly kind: 'encode_image'; readonly modelId: string; readonly image: ImageInput }
  | {
      readonly kind: 'prefill';
      readonly modelId: string;
      /** Chosen by the caller; the first prefill of a name opens the sequence. */
      readonly sequence: string;
      readonly nTokensMax: number;
      readonly ids: Int32Array;
      readonly offset: number;
      /** The whole prompt's vision input; `promptIds` are all its ids. */
      readonly vision: (VisionInput & { readonly promptIds: Int32Array }) | null;
      readonly output: ForwardOutput;
    }
  | { readonly kind: 'decode'; readonly modelId: string; readonly sequence: string; readonly id: number }
  | { readonly kind: 'reset'; readonly modelId: string; readonly sequence: string }
  | { readonly kind: 'shutdown' };

export interface DeviceAnswers {
  load: LoadedFacts;
  unload: null;
  memory: DeviceMemory;
  /** [nTokens, hidden] */
  encode_image: Float32Array;
  /** [rows, nLogits], empty for output 'none'. */
  prefill: Float32Array;
  /** [nLogits] */
  decode: Float32Array;
  reset: null;
  shutdown: null;
}

export interface GeneratedToken {
  readonly id: number;
  readonly logprob: number | null;
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
}

/** A generation's life: queued → admitted → prefill … → tokens … → finished per choice → done. */
export type GenerateEvent =
  | { readonly kind: 'admitted' }
  | { readonly kind: 'prefill'; readonly done: number; readonly total: number }
  | { readonly kind: 'token'; readonly choice: number; readonly token: GeneratedToken }
  /** [hidden], instead of tokens. */
  | { readonly kind: 'hidden'; readonly choice: number; readonly vector: Float32Array }
  | { readonly kind: 'finished'; readonly choice: number; readonly cause: 'eos' | 'length' | 'stopped' }
  | {
      readonly kind: 'done';
      readonly nPromptTokens: number;
      readonly nCachedTokens: number;
      readonly prefillMs: number;
      readonly decodeMs: number;
      /** Tokens guessed ahead, and those of them that were right. */
      readonly nDrafted: number;
      readonly nDraftedRight: number;
      readonly nGenerated: number;
    };

/** One model's sequences and how fast they have gone of late; null before any work. */
export interface ModelCounts {
  readonly modelId: string;
  readonly inFlight: number;
  readonly queueDepth: number;
  readonly tokSPrefill: number | null;
  readonly tokSDecode: number | null;
}

export type ToWorker =
  | { readonly kind: 'job'; readonly jobId: number; readonly job: DeviceJob }
  | { readonly kind: 'generate'; readonly jobId: number; readonly spec: GenerateSpec }
  /** A choice has met a stop string: no more of it. */
  | { readonly kind: 'stop_choice'; readonly jobId: number; readonly choice: number }
  | { readonly kind: 'cancel'; readonly jobId: number };

export type FromWorker =
  | { readonly kind: 'ready' }
  /** Instead of `ready`; the thread ends. */
  | { readonly kind: 'open_failed'; readonly error: ErrorData }
  | { readonly kind: 'answer'; readonly jobId: number; readonly value: DeviceAnswers[keyof DeviceAnswers] }
  | { readonly kind: 'failed'; readonly jobId: number; readonly error: ErrorData }
  | { readonly kind: 'load_progress'; readonly jobId: number; readonly progress: LoadProgress }
  | { readonly kind: 'activity'; readonly models: readonly ModelCounts[] }
  /** All that happened to a generation in one step. */
  | { readonly kind: 'events'; readonly jobId: number; readonly events: readonly GenerateEvent[] };
