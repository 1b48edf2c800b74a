/**
 * Completion events as OpenAI chat answers: chunks of a stream, or one whole object.
 * The same events give the same text, reasoning, calls and finish reasons either way.
 */
import { CortexError } from '@cortex/core';
import type {
  ChatChunk,
  ChatCompletion,
  ChatDelta,
  CompletionEvent,
  FinishReason,
  TokenLogprob,
  ToolCall,
  ToolCallDelta,
  Usage,
} from '@cortex/core';
import { RunningUsage, type StreamUsage } from './running-usage.ts';

/** What stays the same over every chunk of one answer. `created` is in seconds since the epoch. */
export interface ResponseIdentity {
  readonly id: string;
  readonly created: number;
  readonly model: string;
}

export type FinishEvent = Extract<CompletionEvent, { kind: 'finish' }>;

/** How a choice ended, in both protocols' words. */
export const endingOf = (
  event: FinishEvent,
): { readonly finish_reason: FinishReason; readonly stop_reason: string | null } => ({
  finish_reason: event.reason,
  stop_reason: event.stop ?? null,
});

type ToolCallEvent = Extract<CompletionEvent, { kind: 'tool_call' }>;

const toolCallDelta = (event: ToolCallEvent): ToolCallDelta => ({
  index: event.index,
  ...(event.id === undefined ? {} : { id: event.id, type: 'function' }),
  function: { ...(event.name === undefined ? {} : { name: event.name }), arguments: event.arguments },
});

/** The streamed form. One builder per response; `push` takes the harness's events in order. */
export class ChatChunkBuilder {
  readonly #identity: ResponseIdentity;
  readonly #usage: StreamUsage;
  readonly #running: RunningUsage;
  readonly #started = new Set<number>();
  /** Log-probabilities wait here for the next chunk of their choice. */
  readonly #logprobs = new Map<number, TokenLogprob[]>();

  constructor(identity: ResponseIdentity, options: { readonly usage: StreamUsage }) {
    this.#identity = identity;
    this.#usage = options.usage;
    this.#running = new RunningUsage(options.usage);
  }

  /**
   * The chunks this event makes: none for `accepted`, `prefill` and `logprobs` (which ride on their choice's next
   * chunk), and for `usage` unless it was asked for. A choice's role chunk comes just before its first delta, not
   * at `accepted`, so that nothing is written while another node could still take the request over.
   */
  push(event: CompletionEvent): ChatChunk[] {
    const opening = this.#opening(event);
    this.#running.note(event);
    return [...opening, ...this.#chunksOf(event)];
  }

  #chunksOf(event: CompletionEvent): ChatChunk[] {
    switch (event.kind) {
      case 'loading':
      case 'accepted':
      case 'prefill':
        return [];
      case 'logprobs':
        this.#keep(event.choice, event.tokens);
        return [];
      case 'text':
        return this.#delta(event.choice, { content: event.text });
      case 'reasoning':
        return this.#delta(event.choice, { reasoning_content: event.text });
      case 'tool_call':
        return this.#delta(event.choice, { tool_calls: [toolCallDelta(event)] });
      case 'finish':
        return this.#delta(event.choice, {}, event);
      case 'usage':
        break;
    }
    return this.#usage === 'none' ? [] : [{ ...this.#chunk([]), usage: event.usage }];
  }

  /** The role chunk, before a choice's first delta: its usage does not count that delta yet. */
  #opening(event: CompletionEvent): ChatChunk[] {
    switch (event.kind) {
      case 'loading':
      case 'accepted':
      case 'prefill':
      case 'logprobs':
      case 'usage':
        return [];
      case 'text':
      case 'reasoning':
      case 'tool_call':
      case 'finish':
        break;
    }
    if (this.#started.has(event.choice)) return [];
    this.#started.add(event.choice);
    const delta: ChatDelta = { role: 'assistant', content: event.kind === 'tool_call' ? null : '' };
    return [this.#chunk([{ index: event.choice, delta, logprobs: null, finish_reason: null }])];
  }

  #keep(choice: number, tokens: readonly TokenLogprob[]): void {
    const kept = this.#logprobs.get(choice) ?? [];
    kept.push(...tokens);
    this.#logprobs.set(choice, kept);
  }

  #delta(choice: number, delta: ChatDelta, finish: FinishEvent | null = null): ChatChunk[] {
    const pending = this.#logprobs.get(choice);
    this.#logprobs.delete(choice);
    const logprobs = pending === undefined ? null : { content: pending, refusal: null };
    const ending = finish === null ? { finish_reason: null } : endingOf(finish);
    return [this.#chunk([{ index: choice, delta, logprobs, ...ending }])];
  }

  #chunk(choices: ChatChunk['choices']): ChatChunk {
    const { id, created, model } = this.#identity;
    return { id, object: 'chat.completion.chunk', created, model, choices, ...this.#running.field };
  }
}

interface ChatChoice {
  text: string;
  reasoning: string;
  readonly calls: Map<number, { id: string; name: string; arguments: string }>;
  readonly logprobs: TokenLogprob[];
  finish: FinishEvent | null;
}

const newChoice = (): ChatChoice => ({ text: '', reasoning: '', calls: new Map(), logprobs: [], finish: null });

const addCall = (choice: ChatChoice, event: ToolCallEvent): void => {
  const call = choice.calls.get(event.index) ?? { id: '', name: '', arguments: '' };
  call.id += event.id ?? '';
  call.name += event.name ?? '';
  call.arguments += event.arguments;
  choice.calls.set(event.index, call);
};

/** An answer of calls alone has `content: null`; any other without text has the empty string. */
const wholeMessage = (choice: ChatChoice): ChatCompletion['choices'][number]['message'] => {
  const calls = [...choice.calls.entries()].toSorted(([a], [b]) => a - b);
  const toolCalls = calls.map(([, call]): ToolCall => ({
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: call.arguments },
  }));
  return {
    role: 'assistant',
    content: choice.text === '' && toolCalls.length > 0 ? null : choice.text,
    ...(choice.reasoning === '' ? {} : { reasoning_content: choice.reasoning }),
    refusal: null,
    ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
  };
};

const wholeChoice = (index: number, choice: ChatChoice): ChatCompletion['choices'][number] => {
  if (choice.finish === null) throw new CortexError('internal_error', `choice ${index} ended without a finish`);
  return {
    index,
    message: wholeMessage(choice),
    logprobs: choice.logprobs.length === 0 ? null : { content: choice.logprobs, refusal: null },
    ...endingOf(choice.finish),
  };
};

/**
 * The whole form: reads the events to their end. @throws what the events throw, and `internal_error` for a stream
 * that breaks the harness's promise of a finish per choice and a usage at the end.
 */
export const collectChat = async (
  events: AsyncIterable<CompletionEvent>,
  identity: ResponseIdentity,
): Promise<ChatCompletion> => {
  const choices = new Map<number, ChatChoice>();
  const choiceAt = (index: number): ChatChoice => {
    const choice = choices.get(index) ?? newChoice();
    choices.set(index, choice);
    return choice;
  };
  let usage: Usage | undefined;
  for await (const event of events) {
    switch (event.kind) {
      case 'loading':
      case 'accepted':
      case 'prefill':
        break;
      case 'text':
        choiceAt(event.choice).text += event.text;
        break;
      case 'reasoning':
        choiceAt(event.choice).reasoning += event.text;
        break;
      case 'tool_call':
        addCall(choiceAt(event.choice), event);
        break;
      case 'logprobs':
        choiceAt(event.choice).logprobs.push(...event.tokens);
        break;
      case 'finish':
        choiceAt(event.choice).finish = event;
        break;
      case 'usage':
        usage = event.usage;
        break;
    }
  }
  if (usage === undefined) throw new CortexError('internal_error', 'the completion ended without its usage');
  return {
    id: identity.id,
    object: 'chat.completion',
    created: identity.created,
    model: identity.model,
    choices: [...choices].toSorted(([a], [b]) => a - b).map(([index, choice]) => wholeChoice(index, choice)),
    usage,
  };
};
