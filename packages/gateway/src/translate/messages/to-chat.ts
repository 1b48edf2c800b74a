/**
 * An Anthropic request as the chat request that a node is asked. Members are dropped, never invented: a node's own
 * defaults hold for whatever the client left out, except for thinking, which in this protocol is off unless asked for.
 */
import type {
  ChatMessage,
  ChatRequest,
  CountTokensRequest,
  MessagesRequest,
  ResponseFormat,
  TokenizeRequest,
} from '@cortex/core';
import { joinLeadingSystem } from '../system-turns.ts';
import { billingKey, takeBillingLine } from './billing-line.ts';
import { toContent, toParts } from './content.ts';
import { toTooling } from './tools.ts';
import { toChatMessages } from './turns.ts';

type Thinking = CountTokensRequest['thinking'];

export const thinks = (thinking: Thinking): boolean =>
  thinking !== null && thinking !== undefined && thinking.type !== 'disabled';

const budgetOf = (thinking: Thinking): number | null =>
  thinks(thinking) && typeof thinking?.budget_tokens === 'number' ? thinking.budget_tokens : null;

/** `thinking_budget` is a variable some templates know. */
const templateKwargs = (thinking: Thinking): Record<string, unknown> => {
  const budget = budgetOf(thinking);
  return { enable_thinking: thinks(thinking), ...(budget === null ? {} : { thinking_budget: budget }) };
};

/** By the name that engines without it ignore; vLLM refuses a request with its own unless it was started for it. */
const thinkingBudget = (thinking: Thinking): Partial<ChatRequest> => {
  const budget = budgetOf(thinking);
  return budget === null ? {} : { thinking_budget_tokens: budget };
};

interface Conversation {
  readonly messages: ChatMessage[];
  readonly billing: string | null;
}

const toConversation = (request: CountTokensRequest): Conversation => {
  const { system, billing } = takeBillingLine(request.system);
  const opening = typeof system === 'string' ? system : toContent(toParts(system ?? [], 'system'));
  const messages: ChatMessage[] = opening === '' ? [] : [{ role: 'system', content: opening }];
  for (const [i, turn] of request.messages.entries()) messages.push(...toChatMessages(turn, `messages[${i}]`));
  return { messages: joinLeadingSystem(messages), billing };
};

const toResponseFormat = (request: CountTokensRequest): ResponseFormat | null => {
  const format = request.output_config?.format ?? request.output_format;
  if (format?.type !== 'json_schema') return null;
  return { type: 'json_schema', json_schema: { name: 'output', schema: format.schema, strict: true } };
};

/** A conversation that ends in the assistant's words asks for their continuation, not for another turn. */
const continuation = (request: MessagesRequest, messages: readonly ChatMessage[]): Record<string, unknown> => {
  const last = messages.at(-1);
  const continues = last?.role === 'assistant' && typeof last.content === 'string' && last.tool_calls === undefined;
  return continues && !thinks(request.thinking) ? { continue_final_message: true, add_generation_prompt: false } : {};
};

const addSampling = (chat: ChatRequest, { temperature, top_p, top_k, stop_sequences }: MessagesRequest): void => {
  if (typeof temperature === 'number') chat.temperature = temperature;
  if (typeof top_p === 'number') chat.top_p = top_p;
  if (typeof top_k === 'number') chat.top_k = top_k;
  if (Array.isArray(stop_sequences) && stop_sequences.length > 0) chat.stop = stop_sequences;
};

/** @throws CortexError `unsupported_parameter` for content that no chat message can hold. */
export const toChatRequest = (request: MessagesRequest): ChatRequest => {
  const { messages, billing } = toConversation(request);
  const chat: ChatRequest = {
    model: request.model,
    messages,
    max_tokens: request.max_tokens,
    chat_template_kwargs: templateKwargs(request.thinking),
  };
  Object.assign(
    chat,
    toTooling(request.tools, request.tool_choice),
    thinkingBudget(request.thinking),
    continuation(request, messages),
  );
  addSampling(chat, request);
  const format = toResponseFormat(request);
  if (format !== null) chat.response_format = format;
  if (billing !== null) chat.metadata = { [billingKey]: billing };
  if (request.stream === true) {
    chat.stream = true;
    // The first chunk is to say how long the prompt is, as `message_start` does.
    chat.stream_options = { include_usage: true, continuous_usage_stats: true };
  }
  return chat;
};

/** The same prompt, only counted. Tools that may not be used are not in it. */
export const toTokenizeRequest = (request: CountTokensRequest): TokenizeRequest => {
  const { messages } = toConversation(request);
  const { tools } = request.tool_choice?.type === 'none' ? {} : toTooling(request.tools, request.tool_choice);
  return {
    model: request.model,
    messages,
    ...(tools === undefined ? {} : { tools }),
    chat_template_kwargs: templateKwargs(request.thinking),
    add_generation_prompt: true,
  };
};
