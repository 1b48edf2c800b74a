/** OpenAI text completions, embeddings, and the `/tokenize` call of a neuron. */
import { z } from 'zod';
import { generationOptions, messageSchema, toolSchema, type FinishReason, type Usage } from './chat.ts';

const tokenIds = z.array(z.int().min(0));

export const completionRequestSchema = z.looseObject({
  model: z.string().min(1),
  prompt: z.union([
    z.string(),
    z.array(z.string()).min(1).max(64),
    tokenIds.min(1),
    z.array(tokenIds.min(1)).min(1).max(64),
  ]),
  ...generationOptions,
  logprobs: z.int().min(0).max(20).nullish(),
  echo: z.boolean().nullish(),
  suffix: z.string().nullish(),
});
export type CompletionRequest = z.infer<typeof completionRequestSchema>;

export interface CompletionLogprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  readonly text_offset: readonly number[];
}

/** Both the whole answer and, with `finish_reason: null` until the last, each streamed piece. */
export interface Completion {
  readonly id: string;
  readonly object: 'text_completion';
  readonly created: number;
  readonly model: string;
  readonly choices: readonly {
    readonly index: number;
    readonly text: string;
    readonly logprobs: CompletionLogprobs | null;
    readonly finish_reason: FinishReason | null;
    /** vLLM's, beside `finish_reason`: the stop string that ended it. */
    readonly stop_reason?: string | null;
  }[];
  readonly usage?: Usage | null;
}

export const embeddingsRequestSchema = z.looseObject({
  model: z.string().min(1),
  input: z.union([
    z.string().min(1),
    z.array(z.string().min(1)).min(1).max(2048),
    tokenIds.min(1),
    z.array(tokenIds.min(1)).min(1).max(2048),
  ]),
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().positive().nullish(),
  user: z.string().nullish(),
});
export type EmbeddingsRequest = z.infer<typeof embeddingsRequestSchema>;

export interface EmbeddingsResponse {
  readonly object: 'list';
  readonly model: string;
  readonly data: readonly {
    readonly object: 'embedding';
    readonly index: number;
    readonly embedding: readonly number[] | string;
  }[];
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number };
}

/** `/tokenize`: plain text as `prompt`, or a conversation as it would be prompted, images counted. */
export const tokenizeRequestSchema = z
  .looseObject({
    model: z.string().min(1),
    prompt: z.string().nullish(),
    messages: z.array(messageSchema).min(1).nullish(),
    tools: z.array(toolSchema).nullish(),
    chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
    add_generation_prompt: z.boolean().nullish(),
  })
  .refine((body) => (typeof body.prompt === 'string') !== Array.isArray(body.messages), {
    message: 'give either prompt or messages',
    path: ['prompt'],
  });
export type TokenizeRequest = z.infer<typeof tokenizeRequestSchema>;

export interface TokenizeResponse {
  readonly count: number;
  /** The model's context window in tokens. */
  readonly max_model_len: number;
  readonly tokens: readonly number[];
}
