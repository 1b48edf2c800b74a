/**
 * A request's messages as a chat template expects them: four roles, text and image parts in order, tool arguments as
 * mappings. Nothing of the client's text is changed.
 */
import { CortexError, type ChatMessage, type ContentPart, type ToolCall } from '@cortex/core';

export type TemplatePart = { readonly type: 'text'; readonly text: string } | { readonly type: 'image' };

export type TemplateContent = string | readonly TemplatePart[];

/** Keys are those templates read, so they are snake_case. */
export interface TemplateToolCall {
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; readonly arguments: Readonly<Record<string, unknown>> };
}

export interface TemplateMessage {
  readonly role: 'system' | 'user' | 'assistant' | 'tool';
  readonly content: TemplateContent;
  readonly name?: string;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly TemplateToolCall[];
  readonly tool_call_id?: string;
}

const toPart = (part: ContentPart): TemplatePart => {
  if (part.type === 'image_url') return { type: 'image' };
  return { type: 'text', text: part.type === 'refusal' ? part.refusal : part.text };
};

/** An assistant turn that only calls tools has no content: templates take that as empty text. */
const toContent = (content: string | readonly ContentPart[] | null | undefined): TemplateContent =>
  typeof content === 'string' ? content : (content?.map(toPart) ?? '');

/** Clients send `""` for a call without arguments. */
const parseArguments = (text: string, param: string): Readonly<Record<string, unknown>> => {
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CortexError('invalid_request', `${param}: is not JSON`, { param, cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CortexError('invalid_request', `${param}: must be a JSON object`, { param });
  }
  return value as Readonly<Record<string, unknown>>;
};

const toToolCall = (call: ToolCall, param: string): TemplateToolCall => ({
  id: call.id,
  type: 'function',
  function: {
    name: call.function.name,
    arguments: parseArguments(call.function.arguments, `${param}.function.arguments`),
  },
});

type AssistantMessage = Extract<ChatMessage, { role: 'assistant' }>;

/** What only an assistant's turn has. */
const assistantFields = (message: AssistantMessage, param: string): Partial<TemplateMessage> => {
  const { reasoning_content: reasoning, tool_calls: calls } = message;
  return {
    ...(typeof reasoning === 'string' ? { reasoning_content: reasoning } : {}),
    ...(calls === null || calls === undefined || calls.length === 0
      ? {}
      : { tool_calls: calls.map((call, i) => toToolCall(call, `${param}.tool_calls[${i}]`)) }),
  };
};

const toMessage = (message: ChatMessage, param: string): TemplateMessage => ({
  role: message.role === 'developer' ? 'system' : message.role,
  content: toContent(message.content),
  ...(typeof message.name === 'string' ? { name: message.name } : {}),
  ...(message.role === 'tool' ? { tool_call_id: message.tool_call_id } : {}),
  ...(message.role === 'assistant' ? assistantFields(message, param) : {}),
});

/** @throws CortexError `invalid_request` where a tool call's arguments are no JSON object, with `param`. */
export const toTemplateMessages = (messages: readonly ChatMessage[]): TemplateMessage[] =>
  messages.map((message, i) => toMessage(message, `messages[${i}]`));

/** Images the messages hold, each of which a template marks once. */
export const countImages = (messages: readonly TemplateMessage[]): number =>
  messages.reduce(
    (sum, { content }) =>
      typeof content === 'string' ? sum : sum + content.filter((part) => part.type === 'image').length,
    0,
  );
