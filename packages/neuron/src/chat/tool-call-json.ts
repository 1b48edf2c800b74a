/**
 * Tool calls as Qwen3 and Hermes write them: `<tool_call>\n{"name": …, "arguments": {…}}\n</tool_call>`.
 * Arguments are given out as they come, as strict JSON; several objects in one block are several calls.
 */
import { matchSteps, partialSuffixLength, SPACE, type Lookahead, type Step } from './output-lookahead.ts';
import {
  CALL_CLOSE,
  CALL_OPEN,
  type BodyEnd,
  type BodyEvent,
  type BodyStep,
  type OpeningPlace,
  type TextEnd,
  type ToolCallBody,
  type ToolCallFormat,
  type ToolSchemas,
} from './tool-call-format.ts';
import { JsonMembers } from './tool-call-json-members.ts';
import { RelaxedJson, strictJsonOf } from './tool-call-relaxed-json.ts';

const NO: Lookahead = { kind: 'no' };
const TAGGED: readonly Step[] = [CALL_OPEN, SPACE, '{'];
const NAME: Step = { capture: /[^"\\\n]/ };
// prettier-ignore
const UNTAGGED: readonly Step[] = [
  '{', SPACE, '"name"', SPACE, ':', SPACE, '"', NAME, '"', SPACE, ',', SPACE, '"arguments"', SPACE, ':',
];
/** A raw newline cannot stand in a JSON string, so this ends the call even when a string was left open. */
const END_LINE = `\n${CALL_CLOSE}`;

const matchTagged = (text: string, at: number): Lookahead => matchSteps(text, at, TAGGED);

/** The member names that hold a call's arguments. */
const isArguments = (key: string): boolean => key === 'arguments' || key === 'parameters';

const parsed = (json: string): unknown => {
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return undefined;
  }
};

/** Arguments that are not an object: null means none, a string may hold the object once more encoded. */
const argumentsOf = (json: string): string => {
  const value = parsed(json);
  if (value === null) return '{}';
  if (typeof value !== 'string') return json;
  if (value.trim() === '') return '{}';
  return strictJsonOf(value) ?? json;
};

class JsonBody implements ToolCallBody {
  readonly #json = new RelaxedJson();
  readonly #members = new JsonMembers();
  #events: BodyEvent[] = [];
  /** All that was read while the name is unknown, to be given back if there is none. */
  #raw: string;
  #held: string;
  #name: string | null = null;
  #nameJson = '';
  /** The member that gives the arguments: the first of its kind. */
  #argumentsKey: string | null = null;
  #argumentsDone = false;
  /** Arguments that cannot go out yet. */
  #waiting = '';
  #gaveArguments = false;

  constructor(opening: string) {
    const start = opening.indexOf('{');
    this.#raw = opening.slice(0, start);
    this.#held = opening.slice(start);
  }

  push(text: string): BodyStep {
    const input = this.#held + text;
    const endLine = input.indexOf(END_LINE);
    const limit = endLine < 0 ? input.length - partialSuffixLength(input, [END_LINE]) : endLine;
    const { json, consumed } = this.#json.push(input.slice(0, limit));
    if (this.#name === null) this.#raw += input.slice(0, consumed);
    this.#read(json);
    const rest = input.slice(consumed);
    if (this.#json.done || endLine >= 0 || consumed < limit) return this.#close(rest);
    this.#held = rest;
    return { events: this.#take(), rest: null };
  }

  end(cause: TextEnd): BodyEnd {
    if (cause === 'eos') return this.#close('', this.#held);
    return this.#name === null ? this.#refuse('', this.#held) : { events: this.#take(), rest: '' };
  }

  /** Ends the object, closing what the model left open. */
  #close(rest: string, unread = ''): BodyEnd {
    this.#read(this.#json.finish());
    if (this.#name === null) return this.#refuse(rest, unread);
    if (!this.#gaveArguments) this.#give('{}');
    this.#events.push({ kind: 'complete' });
    return { events: this.#take(), rest };
  }

  #refuse(rest: string, unread: string): BodyEnd {
    return { events: [], rest, refused: this.#raw + unread };
  }

  #take(): BodyEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #read(json: string): void {
    for (const { key, text, done } of this.#members.push(json)) {
      if (key === 'name') this.#readName(text, done);
      else if (isArguments(key)) this.#readArguments(key, text, done);
    }
  }

  #readName(text: string, done: boolean): void {
    this.#nameJson += text;
    if (!done || this.#name !== null) return;
    const name = parsed(this.#nameJson);
    this.#nameJson = '';
    if (typeof name !== 'string' || name === '') return;
    this.#name = name;
    this.#raw = '';
    this.#events.push({ kind: 'name', name });
    this.#flush();
  }

  #readArguments(key: string, text: string, done: boolean): void {
    // A second member of its kind is not another value for what has been sent.
    if (this.#argumentsDone || (this.#argumentsKey !== null && this.#argumentsKey !== key)) return;
    this.#argumentsKey = key;
    this.#argumentsDone = done;
    this.#waiting += text;
    if (done && !this.#gaveArguments && !this.#waiting.startsWith('{')) this.#waiting = argumentsOf(this.#waiting);
    this.#flush();
  }

  /** An object's text may go out as it comes; anything else must be seen whole, for it may hold the object. */
  #flush(): void {
    if (this.#name === null || this.#waiting === '') return;
    if (this.#argumentsDone || this.#gaveArguments || this.#waiting.startsWith('{')) this.#give(this.#waiting);
  }

  #give(text: string): void {
    this.#waiting = '';
    this.#gaveArguments = true;
    this.#events.push({ kind: 'arguments', text });
  }
}

/**
 * An object without `<tool_call>` before it opens a call only at the start of a line, and if it begins with the name of
 * one of the tools and then the arguments: all else may be an answer in JSON.
 */
export const jsonToolCalls = (tools: ToolSchemas): ToolCallFormat => ({
  matchTagged,
  matchOpening: (text: string, at: number, place: OpeningPlace): Lookahead => {
    const tagged = matchTagged(text, at);
    if (tagged.kind !== 'no') return tagged;
    if (place.insideBlock) return matchSteps(text, at, ['{']);
    const untagged = place.lineStart ? matchSteps(text, at, UNTAGGED) : NO;
    return untagged.kind === 'match' && !tools.has(untagged.captured[0] ?? '') ? NO : untagged;
  },
  newBody: (_captured: readonly string[], opening: string): ToolCallBody => new JsonBody(opening),
});
