/** What `/v1/messages` answers: a message, its stream events, its errors. */
import type { ErrorCode } from '../errors.ts';

export interface AnthropicTextBlock {
  readonly type: 'text';
  readonly text: string;
}

export interface AnthropicThinkingBlock {
  readonly type: 'thinking';
  readonly thinking: string;
  /** Opaque to the client, who sends it back as it is. */
  readonly signature: string;
}

export interface AnthropicToolUseBlock {
  readonly type: 'tool_use';
  readonly id: string;
  readonly name: string;
  readonly input: Readonly<Record<string, unknown>>;
}

export type AnthropicBlock = AnthropicTextBlock | AnthropicThinkingBlock | AnthropicToolUseBlock;

export type AnthropicStopReason = 'end_turn' | 'max_tokens' | 'stop_sequence' | 'tool_use' | 'refusal';

/** Tokens of the prompt are `input_tokens` + `cache_read_input_tokens` + `cache_creation_input_tokens`. */
export interface AnthropicUsage {
  readonly input_tokens: number;
  readonly cache_creation_input_tokens: number;
  readonly cache_read_input_tokens: number;
  readonly output_tokens: number;
  readonly output_tokens_details?: { readonly thinking_tokens: number };
}

export interface AnthropicMessage {
  readonly id: string;
  readonly type: 'message';
  readonly role: 'assistant';
  readonly model: string;
  readonly content: readonly AnthropicBlock[];
  /** Null only in `message_start`. */
  readonly stop_reason: AnthropicStopReason | null;
  /** The one of the request's `stop_sequences` that ended the answer. */
  readonly stop_sequence: string | null;
  readonly usage: AnthropicUsage;
}

export type AnthropicDelta =
  | { readonly type: 'text_delta'; readonly text: string }
  | { readonly type: 'thinking_delta'; readonly thinking: string }
  | { readonly type: 'signature_delta'; readonly signature: string }
  | { readonly type: 'input_json_delta'; readonly partial_json: string };

export interface AnthropicError {
  readonly type: 'error';
  readonly error: {
    /** Anthropic's own type, such as `overloaded_error`. */
    readonly type: string;
    readonly message: string;
    readonly code: ErrorCode;
    readonly [fact: string]: unknown;
  };
  readonly request_id?: string;
}

/** In their order: `message_start`, (`content_block_start`, deltas, `content_block_stop`)*, `message_delta`, `message_stop`. */
export type AnthropicEvent =
  | { readonly type: 'message_start'; readonly message: AnthropicMessage }
  | { readonly type: 'ping' }
  | { readonly type: 'content_block_start'; readonly index: number; readonly content_block: AnthropicBlock }
  | { readonly type: 'content_block_delta'; readonly index: number; readonly delta: AnthropicDelta }
  | { readonly type: 'content_block_stop'; readonly index: number }
  | {
      readonly type: 'message_delta';
      readonly delta: Pick<AnthropicMessage, 'stop_reason' | 'stop_sequence'>;
      readonly usage: AnthropicUsage;
    }
  | { readonly type: 'message_stop' }
  | AnthropicError;
