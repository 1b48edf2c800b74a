/**
 * Input items as chat messages. What the assistant did in one turn comes as several items (reasoning, words, calls)
 * and becomes one message; anything that is not the assistant's ends the turn.
 */
import { CortexError, type ChatMessage, type ContentPart, type InputItem, type ToolCall } from '@cortex/core';
import { openReasoning } from '../sealed-reasoning.ts';
import { toChatContent, toSpokenContent } from './content.ts';

type Item<T extends InputItem['type']> = Extract<InputItem, { type: T }>;
type Spoken = ReturnType<typeof toSpokenContent>;

interface Turn {
  reasoning: string;
  content: Spoken | null;
  readonly calls: ToolCall[];
}

const isEmpty = (turn: Turn): boolean =>
  turn.reasoning === '' && (turn.content ?? '') === '' && turn.calls.length === 0;

const toMessage = (turn: Turn): ChatMessage => ({
  role: 'assistant',
  content: turn.content ?? (turn.calls.length > 0 ? null : ''),
  ...(turn.reasoning === '' ? {} : { reasoning_content: turn.reasoning }),
  ...(turn.calls.length === 0 ? {} : { tool_calls: turn.calls }),
});

const joinTexts = (texts: readonly { readonly text: string }[] | null | undefined): string =>
  (texts ?? []).map(({ text }) => text).join('');

/** The whole reasoning if the item has it, else our own sealed copy, else its summary, which for ours is the whole too. */
const reasoningOf = (item: Item<'reasoning'>): string =>
  joinTexts(item.content) || openReasoning(item.encrypted_content) || joinTexts(item.summary);

const partsOf = (content: Spoken): ContentPart[] =>
  typeof content === 'string' ? [{ type: 'text', text: content }] : content;

const joinContents = (first: Spoken | null, second: Spoken): Spoken => {
  if (first === null) return second;
  return typeof first === 'string' && typeof second === 'string'
    ? first + second
    : [...partsOf(first), ...partsOf(second)];
};

class Turns {
  readonly messages: ChatMessage[] = [];
  #turn: Turn = { reasoning: '', content: null, calls: [] };

  /** Ends the assistant's turn. */
  flush(): void {
    if (!isEmpty(this.#turn)) this.messages.push(toMessage(this.#turn));
    this.#turn = { reasoning: '', content: null, calls: [] };
  }

  push(message: ChatMessage): void {
    this.flush();
    this.messages.push(message);
  }

  reason(text: string): void {
    this.#turn.reasoning += text;
  }

  say(content: Spoken): void {
    // Words beside calls belong to their turn, as results must follow it at once; words after words begin another.
    if (this.#turn.content !== null && this.#turn.calls.length === 0) this.flush();
    this.#turn.content = joinContents(this.#turn.content, content);
  }

  call(item: Item<'function_call'>): void {
    const { call_id: id, name, arguments: args } = item;
    this.#turn.calls.push({ id, type: 'function', function: { name, arguments: args } });
  }
}

const addMessage = (turns: Turns, item: Item<'message'>, param: string): void => {
  switch (item.role) {
    case 'assistant':
      turns.say(toSpokenContent(item.content, param));
      return;
    // Templates know no developer.
    case 'developer':
    case 'system':
      turns.push({ role: 'system', content: toChatContent(item.content, param) });
      return;
    case 'user':
      turns.push({ role: 'user', content: toChatContent(item.content, param) });
  }
};

const addItem = (turns: Turns, item: InputItem, param: string): void => {
  switch (item.type) {
    case 'message':
      addMessage(turns, item, `${param}.content`);
      return;
    case 'reasoning':
      turns.reason(reasoningOf(item));
      return;
    case 'function_call':
      turns.call(item);
      return;
    case 'function_call_output':
      turns.push({
        role: 'tool',
        tool_call_id: item.call_id,
        content: toChatContent(item.output, `${param}.output`),
      });
      return;
    case 'item_reference':
      throw new CortexError(
        'unsupported_parameter',
        `${param}: earlier responses are not kept here; send the item itself`,
        { param },
      );
    case 'ignored':
  }
};

/** @throws CortexError `unsupported_parameter` for references, files and audio. */
export const toChatMessages = (input: string | readonly InputItem[]): ChatMessage[] => {
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  const turns = new Turns();
  for (const [i, item] of input.entries()) addItem(turns, item, `input[${i}]`);
  turns.flush();
  return turns.messages;
};
