/** What `/v1/responses` answers: a response object, its output items, its stream events. */

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

export interface OutputText {
  readonly type: 'output_text';
  readonly text: string;
  readonly annotations: readonly [];
  readonly logprobs: readonly [];
}

export interface SummaryText {
  readonly type: 'summary_text';
  readonly text: string;
}

export interface OutputMessage {
  readonly type: 'message';
  readonly id: string;
  readonly status: ItemStatus;
  readonly role: 'assistant';
  readonly content: readonly OutputText[];
}

export interface OutputFunctionCall {
  readonly type: 'function_call';
  readonly id: string;
  readonly status: ItemStatus;
  readonly call_id: string;
  readonly name: string;
  readonly arguments: string;
}

export interface OutputReasoning {
  readonly type: 'reasoning';
  readonly id: string;
  readonly status: ItemStatus;
  readonly summary: readonly SummaryText[];
  /** Only for who asked with `include: ["reasoning.encrypted_content"]`. */
  readonly encrypted_content?: string;
}

export type OutputItem = OutputMessage | OutputFunctionCall | OutputReasoning;

export interface ResponsesUsage {
  readonly input_tokens: number;
  readonly input_tokens_details: { readonly cached_tokens: number; readonly cache_write_tokens: number };
  readonly output_tokens: number;
  readonly output_tokens_details: { readonly reasoning_tokens: number };
  readonly total_tokens: number;
}

export type ResponseStatus = 'in_progress' | 'completed' | 'incomplete' | 'failed';

export interface ResponseObject {
  readonly id: string;
  readonly object: 'response';
  /** Seconds since the epoch. */
  readonly created_at: number;
  readonly status: ResponseStatus;
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly incomplete_details: { readonly reason: 'max_output_tokens' | 'content_filter' } | null;
  readonly model: string;
  readonly output: readonly OutputItem[];
  readonly usage: ResponsesUsage | null;
  /** What of the request is repeated: `instructions`, `tools`, `tool_choice`, … */
  readonly [echo: string]: unknown;
}

interface OfItem {
  readonly item_id: string;
  readonly output_index: number;
}

export type ResponsesEvent =
  | {
      readonly type:
        | 'response.created'
        | 'response.in_progress'
        | 'response.completed'
        | 'response.incomplete'
        | 'response.failed';
      readonly response: ResponseObject;
    }
  | {
      readonly type: 'response.output_item.added' | 'response.output_item.done';
      readonly output_index: number;
      readonly item: OutputItem;
    }
  | (OfItem & {
      readonly type: 'response.content_part.added' | 'response.content_part.done';
      readonly content_index: number;
      readonly part: OutputText;
    })
  | (OfItem & {
      readonly type: 'response.output_text.delta';
      readonly content_index: number;
      readonly delta: string;
      readonly logprobs: readonly [];
    })
  | (OfItem & {
      readonly type: 'response.output_text.done';
      readonly content_index: number;
      readonly text: string;
      readonly logprobs: readonly [];
    })
  | (OfItem & {
      readonly type: 'response.reasoning_summary_part.added' | 'response.reasoning_summary_part.done';
      readonly summary_index: number;
      readonly part: SummaryText;
    })
  | (OfItem & {
      readonly type: 'response.reasoning_summary_text.delta';
      readonly summary_index: number;
      readonly delta: string;
    })
  | (OfItem & {
      readonly type: 'response.reasoning_summary_text.done';
      readonly summary_index: number;
      readonly text: string;
    })
  | (OfItem & { readonly type: 'response.function_call_arguments.delta'; readonly delta: string })
  | (OfItem & {
      readonly type: 'response.function_call_arguments.done';
      readonly name: string;
      readonly arguments: string;
    });
