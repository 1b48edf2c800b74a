/**
 * What a neuron's HTTP side knows of an inference engine. Requests go in as OpenAI's shapes, already parsed;
 * answers come out as events of text, never tokens or tensors.
 */
import type { ChatRequest, FinishReason, TokenLogprob, Usage } from './openai/chat.ts';
import type { CompletionRequest, EmbeddingsRequest, TokenizeRequest, TokenizeResponse } from './openai/completions.ts';
import type {
  BrokenGroup,
  DeviceHealth,
  DeviceInfo,
  LoadRequest,
  ModelActivity,
  NodeModel,
  UnloadRequest,
} from './neuron-api.ts';

interface CountedTokens {
  /** Tokens of this choice sampled up to here, where the engine counts them. */
  readonly completionTokens?: number;
}

/**
 * One completion's life. Every stream ends in exactly one of: a `usage` event after a `finish` for each choice,
 * a thrown `CortexError`, or the caller's abort.
 */
export type CompletionEvent =
  /** The model itself is still being loaded, which takes long enough to say so: a server should keep the client waiting. */
  | { readonly kind: 'loading'; readonly fraction: number; readonly phase: string }
  /** Admitted: every check that can refuse the request has passed. A server may now answer 200. */
  | { readonly kind: 'accepted'; readonly promptTokens: number }
  /** Work before the first token; `done` of `total` prompt tokens. */
  | { readonly kind: 'prefill'; readonly done: number; readonly total: number }
  | ({ readonly kind: 'text'; readonly choice: number; readonly text: string } & CountedTokens)
  | ({ readonly kind: 'reasoning'; readonly choice: number; readonly text: string } & CountedTokens)
  /** First event of a call carries `id` and `name`; `arguments` are pieces of one JSON text. */
  | ({
      readonly kind: 'tool_call';
      readonly choice: number;
      readonly index: number;
      readonly id?: string;
      readonly name?: string;
      readonly arguments: string;
    } & CountedTokens)
  /** Log-probabilities of sampled tokens, in order, when they were asked for. */
  | { readonly kind: 'logprobs'; readonly choice: number; readonly tokens: readonly TokenLogprob[] }
  /** `stop`: the stop string that ended the choice, where one did. */
  | ({
      readonly kind: 'finish';
      readonly choice: number;
      readonly reason: FinishReason;
      readonly stop?: string;
    } & CountedTokens)
  | { readonly kind: 'usage'; readonly usage: Usage };

export interface RequestContext {
  /** Aborted when the client leaves; the work stops within one step. */
  readonly signal: AbortSignal;
  readonly requestId: string;
  /** Who asks, as an opaque name: what is scarce is shared between names, not between requests. */
  readonly client: string;
  /** Larger goes first. */
  readonly priority: number;
}

export interface Harness {
  /** Its name in `/discovery` and in load requests, such as `ggml`. */
  readonly name: string;
  readonly devices: readonly DeviceInfo[];

  /** Every model here, loaded or on disk. Never loads anything nor counts as use. */
  models(): Promise<readonly NodeModel[]>;
  activity(): readonly ModelActivity[];
  deviceHealth(): Promise<readonly DeviceHealth[]>;
  brokenGroups(): readonly BrokenGroup[];

  /** Single flight per model: however many ask, one load. Resolves when it is loaded; throws what failed. */
  load(request: LoadRequest): Promise<void>;
  /** Resolves once the memory is free. @throws `model_busy`, `model_not_found`. */
  unload(request: UnloadRequest): Promise<void>;

  /**
   * A model that is on disk but not loaded is loaded first. @throws before its first event: `model_not_found`,
   * `vision_unsupported`, `invalid_image`, `context_length_exceeded`, `device_poisoned`, `rate_limit_exceeded`, …
   */
  chat(request: ChatRequest, context: RequestContext): AsyncIterable<CompletionEvent>;
  complete(request: CompletionRequest, context: RequestContext): AsyncIterable<CompletionEvent>;
  /** One vector per input, in order. @throws `unsupported_parameter` where the model has none to give. */
  embed(
    request: EmbeddingsRequest,
    context: RequestContext,
  ): Promise<{ readonly vectors: readonly Float32Array[]; readonly promptTokens: number }>;
  tokenize(request: TokenizeRequest): Promise<TokenizeResponse>;

  /** Lets running requests end within `graceMs`, then stops the rest and frees every device. */
  close(graceMs: number): Promise<void>;
}
