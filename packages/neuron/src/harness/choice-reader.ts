/** One choice of a generation, from sampled tokens to the events its client sees. It finishes exactly once. */
import type { CompletionEvent } from '@cortex/core';
import { tokenLogprob } from '../chat/logprobs.ts';
import { OutputParser, type OutputParserOptions } from '../chat/output-parser.ts';
import type { GenerateEvent, GeneratedToken } from '../device/protocol.ts';
import { TokenTextStream } from '../tokenizer/token-text-stream.ts';
import type { Vocabulary } from '../tokenizer/vocabulary.ts';

export interface ChoiceReaderOptions extends OutputParserOptions {
  readonly vocabulary: Vocabulary;
  readonly eosIds: readonly number[];
}

type CountedEvent = Extract<CompletionEvent, { kind: 'text' | 'reasoning' | 'tool_call' | 'finish' }>;

type FinishCause = Extract<GenerateEvent, { kind: 'finished' }>['cause'];

const textEnds = { eos: 'eos', length: 'length', stopped: 'stop_string' } as const satisfies Record<
  FinishCause,
  string
>;

export class ChoiceReader {
  readonly choice: number;
  readonly #vocabulary: Vocabulary;
  readonly #eosIds: readonly number[];
  readonly #text: TokenTextStream;
  readonly #parser: OutputParser;
  #nTokens = 0;
  #nReasoning = 0;
  #isFinished = false;

  constructor(options: ChoiceReaderOptions) {
    this.choice = options.choice;
    this.#vocabulary = options.vocabulary;
    this.#eosIds = options.eosIds;
    this.#text = new TokenTextStream(options.vocabulary);
    this.#parser = new OutputParser(options);
  }

  /** Tokens sampled up to its finish. */
  get nTokens(): number {
    return this.#nTokens;
  }
  /** Those among them that were reasoning. */
  get nReasoning(): number {
    return this.#nReasoning;
  }

  /** `stopped`: the answer has ended here, and the device must be told so. Tokens after that are ignored. */
  push(token: GeneratedToken): { readonly events: readonly CompletionEvent[]; readonly stopped: boolean } {
    if (this.#isFinished) return { events: [], stopped: false };
    this.#nTokens += 1;
    if (this.#eosIds.includes(token.id)) return { events: [], stopped: false };
    const { events, stopped } = this.#parser.push(this.#text.push(token.id));
    if (this.#parser.inReasoning) this.#nReasoning += 1;
    // First: log-probabilities travel with their choice's next piece of text.
    const all = [...this.#logprobs(token), ...this.#counted(events)];
    return stopped ? { events: [...all, ...this.finish('stopped')], stopped } : { events: all, stopped };
  }

  /** What was held back, and the finish; nothing when it has already finished. */
  finish(cause: FinishCause): readonly CompletionEvent[] {
    if (this.#isFinished) return [];
    this.#isFinished = true;
    const rest = this.#parser.push(this.#text.flush());
    const end = textEnds[rest.stopped ? 'stopped' : cause];
    const { choice } = this;
    const events = [...rest.events, ...this.#parser.end(end)];
    const reason = this.#parser.finishReason(end);
    const stop = this.#parser.matchedStop;
    return this.#counted([...events, { kind: 'finish', choice, reason, ...(stop === null ? {} : { stop }) }]);
  }

  #counted(events: readonly CountedEvent[]): readonly CompletionEvent[] {
    return events.map((event) => ({ ...event, completionTokens: this.#nTokens }));
  }

  #logprobs({ id, logprob, top }: GeneratedToken): readonly CompletionEvent[] {
    if (logprob === null) return [];
    const token = tokenLogprob({ id, logprob, top }, (other) => this.#vocabulary.tokenBytes(other));
    return [{ kind: 'logprobs', choice: this.choice, tokens: [token] }];
  }
}
