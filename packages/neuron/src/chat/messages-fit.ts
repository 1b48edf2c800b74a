/**
 * Fits a conversation to what a template can take. Text stays word for word and in order; only who says it changes, and
 * only where the template would otherwise refuse the request or lose the text. A conversation that grows keeps its start.
 */
import { CortexError } from '@cortex/core';
import type { TemplateContent, TemplateMessage, TemplatePart } from './messages.ts';

export interface TemplateTolerance {
  /** A system turn after the first message is rendered, where it stands. */
  readonly lateSystemTurns: boolean;
  /** A user turn right after another is rendered. */
  readonly userTurnsInARow: boolean;
  /** Content may be a list of parts. */
  readonly contentParts: boolean;
}

const toParts = (content: TemplateContent): readonly TemplatePart[] =>
  typeof content === 'string' ? [{ type: 'text', text: content }] : content;

const separator: TemplatePart = { type: 'text', text: '\n\n' };

const join = (contents: readonly TemplateContent[]): TemplateContent =>
  contents.every((content) => typeof content === 'string')
    ? contents.join('\n\n')
    : contents.flatMap((content, i) => (i === 0 ? toParts(content) : [separator, ...toParts(content)]));

/** The system turns that a conversation opens with, as one. */
const joinLeading = (messages: readonly TemplateMessage[]): readonly TemplateMessage[] => {
  const rest = messages.findIndex(({ role }) => role !== 'system');
  const nLeading = rest === -1 ? messages.length : rest;
  if (nLeading < 2) return messages;
  const leading = messages.slice(0, nLeading).map(({ content }) => content);
  return [{ role: 'system', content: join(leading) }, ...messages.slice(nLeading)];
};

const append = (message: TemplateMessage, { content }: TemplateMessage): TemplateMessage => ({
  ...message,
  content: join([message.content, content]),
});

/** Joins each turn of `late` with its neighbours of the user's side, so that the user never speaks twice for it. */
const joinLate = (
  messages: readonly TemplateMessage[],
  late: ReadonlySet<TemplateMessage>,
): readonly TemplateMessage[] => {
  const joined: TemplateMessage[] = [];
  let previous: TemplateMessage | undefined;
  for (const message of messages) {
    const last = joined.at(-1);
    const joinsLast = late.has(message)
      ? last?.role === 'user' || last?.role === 'tool'
      : message.role === 'user' && last?.role === 'user' && previous !== undefined && late.has(previous);
    if (last !== undefined && joinsLast) joined[joined.length - 1] = append(last, message);
    else joined.push(message);
    previous = message;
  }
  return joined;
};

/**
 * Later system turns as turns of the user, in their place: gathered at the front they would change the start of the
 * prompt, and nothing computed for the conversation so far could be used again.
 */
const handLateToUser = (messages: readonly TemplateMessage[], userTurnsInARow: boolean): readonly TemplateMessage[] => {
  const late = new Set<TemplateMessage>();
  const handed = joinLeading(messages).map((message, i) => {
    if (i === 0 || message.role !== 'system') return message;
    const turn: TemplateMessage = { ...message, role: 'user' };
    late.add(turn);
    return turn;
  });
  return userTurnsInARow ? handed : joinLate(handed, late);
};

const flatten = (message: TemplateMessage, i: number): TemplateMessage => {
  const { content } = message;
  if (typeof content === 'string') return message;
  const texts = content.map((part) => {
    if (part.type === 'text') return part.text;
    const param = `messages[${i}].content`;
    throw new CortexError('invalid_request', `${param}: this model's chat template takes no images`, { param });
  });
  return { ...message, content: texts.join('\n') };
};

/** @throws CortexError `invalid_request` for images the template has no place for. */
export const fitMessages = (
  messages: readonly TemplateMessage[],
  tolerance: TemplateTolerance,
): readonly TemplateMessage[] => {
  const flat = tolerance.contentParts ? messages : messages.map(flatten);
  return tolerance.lateSystemTurns ? flat : handLateToUser(flat, tolerance.userTurnsInARow);
};
