/** A chat answer's closing figures in Anthropic's terms: usage and why it stopped. */
import type { AnthropicStopReason, AnthropicUsage, ChatMessage, ContentPart } from '@cortex/core';
import type { AnswerFinish, AnswerUsage } from '../chat-answer.ts';
import type { JsonObject } from '../contract.ts';

/** Anthropic counts the cached part of a prompt apart from `input_tokens`, chat as part of it. */
export const toUsage = (usage: AnswerUsage): AnthropicUsage => ({
  input_tokens: usage.prompt - usage.cached,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: usage.cached,
  output_tokens: usage.completion,
  ...(usage.reasoning === null ? {} : { output_tokens_details: { thinking_tokens: usage.reasoning } }),
});

export interface Stop {
  readonly stop_reason: AnthropicStopReason;
  readonly stop_sequence: string | null;
}

const stop = (stop_reason: AnthropicStopReason): Stop => ({ stop_reason, stop_sequence: null });

/** `asked`: the request's own stop sequences; a node may stop at strings of its own, which say nothing to the client. */
export const toStop = (finish: AnswerFinish, hasCalls: boolean, asked: readonly string[]): Stop => {
  switch (finish.reason) {
    case 'length':
      return stop('max_tokens');
    case 'content_filter':
      return stop('refusal');
    case 'stop':
    case 'tool_calls':
      break;
  }
  const { stopString } = finish;
  if (stopString !== null && asked.includes(stopString))
    return { stop_reason: 'stop_sequence', stop_sequence: stopString };
  // Some engines finish a forced call with `stop`.
  return stop(hasCalls ? 'tool_use' : 'end_turn');
};

const charsPerToken = 4;
const tokensPerImage = 256;

const partsTokens = (content: string | readonly ContentPart[] | null | undefined): number => {
  if (typeof content === 'string') return content.length / charsPerToken;
  return (content ?? []).reduce((sum, part) => {
    if (part.type === 'image_url') return sum + tokensPerImage;
    return sum + (part.type === 'text' ? part.text : part.refusal).length / charsPerToken;
  }, 0);
};

/**
 * For `message_start` where an engine tells its figures only at the end: about the prompt's tokens. `message_delta`
 * has the true figure in any case.
 */
export const roughPromptTokens = (request: JsonObject & { readonly messages: readonly ChatMessage[] }): number => {
  const spoken = request.messages.reduce((sum, { content }) => sum + partsTokens(content), 0);
  const tools = request['tools'] === undefined ? '' : JSON.stringify(request['tools']);
  return Math.ceil(spoken + tools.length / charsPerToken);
};
