/**
 * System turns where a chat template takes them. Text stays word for word; only its place changes.
 */
import type { ChatMessage, ContentPart } from '@cortex/core';

type Content = string | ContentPart[];

const isSystem = (message: ChatMessage): message is Extract<ChatMessage, { role: 'system' | 'developer' }> =>
  message.role === 'system' || message.role === 'developer';

const partsOf = (content: Content): ContentPart[] =>
  typeof content === 'string' ? [{ type: 'text', text: content }] : content;

const join = (first: Content, second: Content): Content =>
  typeof first === 'string' && typeof second === 'string'
    ? `${first}\n\n${second}`
    : [...partsOf(first), { type: 'text', text: '\n\n' }, ...partsOf(second)];

/**
 * The system turns a conversation opens with, as one: most templates take a single one. A blank line parts them.
 * Later ones stay in their place.
 */
export const joinLeadingSystem = (messages: readonly ChatMessage[]): ChatMessage[] => {
  const rest = messages.findIndex((message) => !isSystem(message));
  const nLeading = rest === -1 ? messages.length : rest;
  const [first, ...others] = messages.slice(0, nLeading).filter(isSystem);
  if (first === undefined) return [...messages];
  const content = others.reduce<Content>((joined, turn) => join(joined, turn.content), first.content);
  return [{ role: 'system', content }, ...messages.slice(nLeading)];
};

/**
 * For engines whose template may refuse system turns after the first: each becomes a user turn in its place, so that
 * everything before it is the same prompt as ever and its prefix can be reused.
 */
export const foldLateSystem = (messages: readonly ChatMessage[]): ChatMessage[] =>
  joinLeadingSystem(messages).map((message, i) =>
    i > 0 && isSystem(message) ? { role: 'user', content: message.content } : message,
  );
