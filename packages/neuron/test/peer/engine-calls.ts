/** What tests and benchmarks ask of an engine, ours or llama.cpp, that runs in a process of its own. */

export type EngineCall =
  /** Its library opened, and no model. */
  | { readonly kind: 'start' }
  | {
      readonly kind: 'open';
      /** A GGUF file. */
      readonly path: string;
      readonly threads: number;
      readonly nSequences: number;
      /** Of all sequences together. */
      readonly nTokensMax: number;
      /** What the engine does by itself unless said. */
      readonly kvCacheType: 'auto' | 'f16' | 'f32';
    }
  | { readonly kind: 'tokenize'; readonly text: string; readonly parseSpecial: boolean }
  /** In an empty sequence; `n` tokens after `ids`, the most likely each time. */
  | { readonly kind: 'continue'; readonly ids: readonly number[]; readonly n: number }
  /** Milliseconds for `ids` in an empty sequence, the last token's logits included. */
  | { readonly kind: 'prefill'; readonly ids: readonly number[] }
  /** Milliseconds of each of `nSteps` steps of `nStreams` sequences after `nPast` tokens. */
  | { readonly kind: 'decode'; readonly nStreams: number; readonly nPast: number; readonly nSteps: number };

export interface Continuation {
  readonly ids: readonly number[];
  /** Those behind the prompt. */
  readonly logits: readonly number[];
}

export interface EngineAnswers {
  readonly start: null;
  readonly open: null;
  readonly tokenize: readonly number[];
  readonly continue: Continuation;
  readonly prefill: number;
  readonly decode: readonly number[];
}

export type EngineReply =
  | { readonly kind: 'done'; readonly value: EngineAnswers[keyof EngineAnswers] }
  | { readonly kind: 'failed'; readonly message: string };
