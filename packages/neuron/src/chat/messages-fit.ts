/**
 * Fits a conversation to what a template can take. Text stays word for word; only its place changes, and only where
 * the template would otherwise refuse the request or lose the text.
 */
import { CortexError } from '@cortex/core';
import type { TemplateContent, TemplateMessage, TemplatePart } from './messages.ts';

export interface TemplateTolerance {
  /** A system turn after the first message is rendered, where it stands. */
  readonly lateSystemTurns: boolean;
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

const isLate = (message: TemplateMessage, i: number): boolean => message.role === 'system' && i > 0;

/** Gathers all system turns, in order, into one at the front. */
const foldSystemTurns = (messages: readonly TemplateMessage[]): readonly TemplateMessage[] => {
  if (!messages.some(isLate)) return messages;
  const late = messages.findIndex(isLate);
  const system = messages.filter((message) => message.role === 'system');
  if (system.some(({ content }) => toParts(content).some((part) => part.type === 'image'))) {
    const param = `messages[${late}]`;
    throw new CortexError('invalid_request', `${param}: this model takes no images in system messages`, { param });
  }
  const folded: TemplateMessage = { role: 'system', content: join(system.map((message) => message.content)) };
  return [folded, ...messages.filter((message) => message.role !== 'system')];
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
  return tolerance.lateSystemTurns ? flat : foldSystemTurns(flat);
};
