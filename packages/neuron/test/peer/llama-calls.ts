/** What the tests ask of llama.cpp, which runs in a process of its own: two copies of ggml's registry do not share one. */

export type LlamaCall =
  | {
      readonly kind: 'open';
      readonly path: string;
      readonly threads: number;
      readonly nSequences: number;
      /** Of all sequences together. */
      readonly nTokensMax: number;
      readonly kvCacheType: 'f16' | 'f32';
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

export interface LlamaAnswers {
  readonly open: null;
  readonly tokenize: readonly number[];
  readonly continue: Continuation;
  readonly prefill: number;
  readonly decode: readonly number[];
}

export type LlamaReply =
  | { readonly kind: 'done'; readonly value: LlamaAnswers[keyof LlamaAnswers] }
  | { readonly kind: 'failed'; readonly message: string };
