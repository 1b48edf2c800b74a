/**
 * One choice's generated text, as it comes, into what a client sees: reasoning, text and tool calls. However the text is
 * cut into pieces, the events of one kind join to the same.
 *
 * Stop strings match the content only: neither the reasoning, which a client that asks for `stop: ["\n\n"]` does not
 * mean, nor the inside of a call, which would leave it broken. A call to a tool that the request does not name is given
 * out as it is: the client answers it with an error, from which the model can recover.
 */
import { randomUUID } from 'node:crypto';
import type { CompletionEvent, FinishReason, Tool } from '@cortex/core';
import { ContentText } from './output-content.ts';
import { ReasoningSplitter, type ThinkingStart } from './reasoning-splitter.ts';
import type { ParametersSchema, ToolCallFormat, ToolSchemas } from './tool-call-format.ts';
import { jsonToolCalls } from './tool-call-json.ts';
import { ToolCallParser, type ToolSegment } from './tool-call-parser.ts';
import { xmlToolCalls } from './tool-call-xml.ts';

/** How the model's template has it write calls; null for a model that knows none. */
export type ToolCallFormatName = 'xml' | 'json';

export interface OutputParserOptions {
  readonly choice: number;
  readonly thinking: ThinkingStart;
  readonly toolFormat: ToolCallFormatName | null;
  /** The tools on offer. Without any, the tags of calls are plain text. */
  readonly tools: readonly Tool[];
  /** False ends the answer behind its first call. */
  readonly parallelToolCalls: boolean;
  readonly stop: readonly string[];
  readonly newCallId?: () => string;
}

/** Events of the kinds text, reasoning and tool_call. */
type OutputEvent = Extract<CompletionEvent, { kind: 'text' | 'reasoning' | 'tool_call' }>;

const FORMATS = { xml: xmlToolCalls, json: jsonToolCalls } as const satisfies Record<
  ToolCallFormatName,
  (tools: ToolSchemas) => ToolCallFormat
>;

const randomCallId = (): string => `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`;

const schemasOf = (tools: readonly Tool[]): ReadonlyMap<string, ParametersSchema> =>
  new Map(tools.map((tool) => [tool.function.name, tool.function.parameters ?? {}]));

export class OutputParser {
  readonly #choice: number;
  readonly #parallelToolCalls: boolean;
  readonly #newCallId: () => string;
  readonly #splitter: ReasoningSplitter;
  readonly #calls: ToolCallParser | null;
  readonly #content: ContentText;
  #events: OutputEvent[] = [];
  #nCalls = 0;
  #stopped = false;

  constructor(options: OutputParserOptions) {
    this.#choice = options.choice;
    this.#parallelToolCalls = options.parallelToolCalls;
    this.#newCallId = options.newCallId ?? randomCallId;
    const hasTools = options.toolFormat !== null && options.tools.length > 0;
    const format =
      options.toolFormat !== null && hasTools ? FORMATS[options.toolFormat](schemasOf(options.tools)) : null;
    this.#splitter = new ReasoningSplitter(options.thinking, format?.matchTagged);
    this.#calls = format === null ? null : new ToolCallParser(format);
    this.#content = new ContentText({ stop: options.stop, hasTools });
  }

  /** Whether the text up to here ends in reasoning: a token counts as reasoning if this holds after its push. */
  get inReasoning(): boolean {
    return this.#splitter.inReasoning;
  }

  /** True once a call's name has been given out. */
  get sawToolCall(): boolean {
    return this.#nCalls > 0;
  }

  /** The stop string that ended the answer, if one did. */
  get matchedStop(): string | null {
    return this.#content.matchedStop;
  }

  /**
   * @param text the next piece, of whole characters; may be empty.
   * @returns what may be sent on. `stopped` asks the caller to generate no more: a stop string was met, or the one call
   * allowed is complete. Text pushed after that is ignored.
   */
  push(text: string): { readonly events: readonly OutputEvent[]; readonly stopped: boolean } {
    if (!this.#stopped) {
      for (const segment of this.#splitter.push(text)) this.#segment(segment.kind, segment.text);
    }
    return { events: this.#take(), stopped: this.#stopped };
  }

  /**
   * What was held back, when no more text will come.
   * @param cause at `length` a call cut off in its arguments stays incomplete, so that no client runs it.
   */
  end(cause: 'eos' | 'stop_string' | 'length'): readonly OutputEvent[] {
    if (this.#stopped) return [];
    for (const segment of this.#splitter.end()) this.#segment(segment.kind, segment.text);
    const segments = this.#calls?.end(cause === 'length' ? cause : 'eos') ?? [];
    for (const segment of segments) this.#callSegment(segment);
    if (!this.#stopped) this.#text(this.#content.end());
    this.#stopped = true;
    return this.#take();
  }

  /** `tool_calls` whenever there is a call to run, unless the answer was cut off at the token limit. */
  finishReason(cause: 'eos' | 'stop_string' | 'length'): FinishReason {
    if (cause === 'length') return 'length';
    return this.sawToolCall ? 'tool_calls' : 'stop';
  }

  #segment(kind: 'reasoning' | 'content', text: string): void {
    if (this.#stopped) return;
    if (kind === 'reasoning') {
      this.#emit({ kind, choice: this.#choice, text });
      return;
    }
    if (this.#splitter.endedByCall) this.#content.expectStrayClose();
    const segments: readonly ToolSegment[] = this.#calls?.push(text) ?? [{ kind: 'text', text }];
    for (const segment of segments) this.#callSegment(segment);
  }

  #callSegment(segment: ToolSegment): void {
    if (this.#stopped) return;
    const choice = this.#choice;
    switch (segment.kind) {
      case 'text':
        this.#text(this.#content.push(segment.text));
        if (this.#content.matchedStop !== null) this.#stop();
        break;
      case 'call':
        this.#text(this.#content.beforeCall());
        if (this.#content.matchedStop === null) this.#beginCall(segment.name);
        else this.#stop();
        break;
      case 'arguments':
        this.#events.push({ kind: 'tool_call', choice, index: this.#nCalls - 1, arguments: segment.text });
        break;
      case 'call_end':
        if (!this.#parallelToolCalls) this.#stop();
        break;
    }
  }

  #beginCall(name: string): void {
    const index = this.#nCalls;
    this.#nCalls += 1;
    this.#events.push({ kind: 'tool_call', choice: this.#choice, index, id: this.#newCallId(), name, arguments: '' });
  }

  #stop(): void {
    this.#text(this.#content.end());
    this.#stopped = true;
  }

  #text(text: string): void {
    if (text !== '') this.#emit({ kind: 'text', choice: this.#choice, text });
  }

  /** Neighbouring pieces of one kind leave as one event. */
  #emit(event: Extract<OutputEvent, { kind: 'text' | 'reasoning' }>): void {
    const last = this.#events.at(-1);
    if (last?.kind !== event.kind) this.#events.push(event);
    else this.#events[this.#events.length - 1] = { ...event, text: last.text + event.text };
  }

  #take(): OutputEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}
