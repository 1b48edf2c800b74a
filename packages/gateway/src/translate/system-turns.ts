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
  if (messages[0] === undefined || !isSystem(messages[0])) return [...messages];
  const rest = messages.findIndex((message) => !isSystem(message));
  const nLeading = rest === -1 ? messages.length : rest;
  const [first, ...others] = messages.slice(0, nLeading).filter(isSystem);
  if (first === undefined) return [...messages];
  const content = others.reduce<Content>((joined, turn) => join(joined, turn.content), first.content);
  return [{ role: 'system', content }, ...messages.slice(nLeading)];
};

/**
 * For engines whose template refuses system turns after the first: each is said by the user in its place, so that
 * everything before it is the same prompt as ever and its prefix can be reused. It becomes one with the user's turns
 * beside it, as many of those templates also want user and assistant to alternate.
 */
export const foldLateSystem = (messages: readonly ChatMessage[]): ChatMessage[] => {
  const folded: ChatMessage[] = [];
  let lastWasLate = false;
  for (const [i, message] of joinLeadingSystem(messages).entries()) {
    const isLate = i > 0 && isSystem(message);
    const last = folded.at(-1);
    if ((isLate || (lastWasLate && message.role === 'user')) && last?.role === 'user')
      folded[folded.length - 1] = { ...last, content: join(last.content, message.content) };
    else folded.push(isLate ? { role: 'user', content: message.content } : message);
    lastWasLate = isLate;
  }
  return folded;
};

export const hasLateSystem = (messages: readonly ChatMessage[]): boolean =>
  joinLeadingSystem(messages).some((message, i) => i > 0 && isSystem(message));

/** In the words of Qwen's, Gemma's and Mistral's templates, which engines pass on. */
export const refusesLateSystem = (message: string): boolean =>
  /system (?:message|role|prompt)|roles must alternate/i.test(message);
