/**
 * Completion events as OpenAI text completions: chunks of a stream, or one whole object, with the legacy
 * log-probability shape. Text completions have no reasoning and no calls; such an event is a fault of the engine.
 */
import { CortexError } from '@cortex/core';
import type { Completion, CompletionEvent, CompletionLogprobs, TokenLogprob, Usage } from '@cortex/core';
import { endingOf, type FinishEvent, type ResponseIdentity } from './openai-chat-response.ts';
import { RunningUsage, type StreamUsage } from './running-usage.ts';

/** The alternatives by text, likeliest first, and always the sampled token: one more than asked for at most. */
const topRecord = (token: TokenLogprob): Readonly<Record<string, number>> => {
  const record = new Map<string, number>();
  for (const { token: text, logprob } of [...token.top_logprobs, token]) {
    // Tokens of broken UTF-8 share a text; the likeliest is kept.
    if (!record.has(text)) record.set(text, logprob);
  }
  return Object.fromEntries(record);
};

/** Counts each token's place in its choice's text, in code points. */
class LegacyLogprobs {
  readonly #decoder = new TextDecoder();
  #offset = 0;

  convert(tokens: readonly TokenLogprob[]): CompletionLogprobs {
    return {
      tokens: tokens.map((token) => token.token),
      token_logprobs: tokens.map((token) => token.logprob),
      top_logprobs: tokens.map(topRecord),
      text_offset: tokens.map((token) => this.#advance(token)),
    };
  }

  /** A character split over tokens counts where it completes, so the decoder keeps its state between them. */
  #advance(token: TokenLogprob): number {
    const start = this.#offset;
    const text =
      token.bytes === null ? token.token : this.#decoder.decode(Uint8Array.from(token.bytes), { stream: true });
    this.#offset += Array.from(text).length;
    return start;
  }
}

const notText = (kind: 'reasoning' | 'tool_call'): CortexError =>
  new CortexError('internal_error', `a text completion cannot carry a ${kind} event`);

/** The streamed form. One builder per response; `push` takes the harness's events in order. */
export class CompletionChunkBuilder {
  readonly #identity: ResponseIdentity;
  readonly #usage: StreamUsage;
  readonly #running: RunningUsage;
  readonly #pending = new Map<number, TokenLogprob[]>();
  readonly #legacy = new Map<number, LegacyLogprobs>();

  constructor(identity: ResponseIdentity, options: { readonly usage: StreamUsage }) {
    this.#identity = identity;
    this.#usage = options.usage;
    this.#running = new RunningUsage(options.usage);
  }

  /** The chunks this event makes; `logprobs` ride on their choice's next chunk. @throws `internal_error`. */
  push(event: CompletionEvent): Completion[] {
    this.#running.note(event);
    switch (event.kind) {
      case 'loading':
      case 'accepted':
      case 'prefill':
        return [];
      case 'logprobs':
        this.#keep(event.choice, event.tokens);
        return [];
      case 'text':
        return [this.#piece(event.choice, event.text, null)];
      case 'finish':
        return [this.#piece(event.choice, '', event)];
      case 'usage':
        break;
      case 'reasoning':
      case 'tool_call':
        throw notText(event.kind);
    }
    return this.#usage === 'none' ? [] : [{ ...this.#chunk([]), usage: event.usage }];
  }

  #keep(choice: number, tokens: readonly TokenLogprob[]): void {
    const kept = this.#pending.get(choice) ?? [];
    kept.push(...tokens);
    this.#pending.set(choice, kept);
  }

  #piece(choice: number, text: string, finish: FinishEvent | null): Completion {
    const pending = this.#pending.get(choice);
    this.#pending.delete(choice);
    const logprobs = pending === undefined ? null : this.#legacyOf(choice).convert(pending);
    const ending = finish === null ? { finish_reason: null } : endingOf(finish);
    return this.#chunk([{ index: choice, text, logprobs, ...ending }]);
  }

  #legacyOf(choice: number): LegacyLogprobs {
    const legacy = this.#legacy.get(choice) ?? new LegacyLogprobs();
    this.#legacy.set(choice, legacy);
    return legacy;
  }

  #chunk(choices: Completion['choices']): Completion {
    const { id, created, model } = this.#identity;
    return { id, object: 'text_completion', created, model, choices, ...this.#running.field };
  }
}

interface TextChoice {
  text: string;
  readonly logprobs: TokenLogprob[];
  finish: FinishEvent | null;
}

const wholeChoice = (index: number, choice: TextChoice): Completion['choices'][number] => {
  if (choice.finish === null) throw new CortexError('internal_error', `choice ${index} ended without a finish`);
  return {
    index,
    text: choice.text,
    logprobs: choice.logprobs.length === 0 ? null : new LegacyLogprobs().convert(choice.logprobs),
    ...endingOf(choice.finish),
  };
};

/** The whole form: reads the events to their end. @throws as `collectChat` does. */
export const collectCompletion = async (
  events: AsyncIterable<CompletionEvent>,
  identity: ResponseIdentity,
): Promise<Completion> => {
  const choices = new Map<number, TextChoice>();
  const choiceAt = (index: number): TextChoice => {
    const choice = choices.get(index) ?? { text: '', logprobs: [], finish: null };
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
      case 'logprobs':
        choiceAt(event.choice).logprobs.push(...event.tokens);
        break;
      case 'finish':
        choiceAt(event.choice).finish = event;
        break;
      case 'usage':
        usage = event.usage;
        break;
      case 'reasoning':
      case 'tool_call':
        throw notText(event.kind);
    }
  }
  if (usage === undefined) throw new CortexError('internal_error', 'the completion ended without its usage');
  return {
    id: identity.id,
    object: 'text_completion',
    created: identity.created,
    model: identity.model,
    choices: [...choices].toSorted(([a], [b]) => a - b).map(([index, choice]) => wholeChoice(index, choice)),
    usage,
  };
};
