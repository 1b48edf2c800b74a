/**
 * Tool calls as Qwen3-Coder, Qwen3.5 and Qwen3.6 write them:
 * `<tool_call>\n<function=NAME>\n<parameter=KEY>\nVALUE\n</parameter>\n…</function>\n</tool_call>`.
 * Arguments are given out parameter by parameter, each converted by the tool's schema once it is complete.
 */
import { matchAny, matchSteps, SPACE, type Lookahead, type Step } from './output-lookahead.ts';
import {
  CALL_CLOSE,
  CALL_OPEN,
  type BodyEnd,
  type BodyEvent,
  type BodyStep,
  type OpeningPlace,
  type ParametersSchema,
  type TextEnd,
  type ToolCallBody,
  type ToolCallFormat,
  type ToolSchemas,
} from './tool-call-format.ts';
import { declaresParameter, parameterJson } from './tool-call-value.ts';
import {
  findValueEnd,
  FUNCTION_CLOSE,
  FUNCTION_HEAD,
  PARAMETER_HEAD,
  valueText,
  ValueCursor,
} from './tool-call-xml-value.ts';

const NO: Lookahead = { kind: 'no' };
const TAGGED: readonly Step[] = [CALL_OPEN, SPACE, ...FUNCTION_HEAD];
/** What ends a call whose `</function>` is missing; the parser behind us reads it. */
const CALL_ENDS: readonly (readonly Step[])[] = [[CALL_CLOSE], [CALL_OPEN], FUNCTION_HEAD];
const BODY_BEGINS: readonly (readonly Step[])[] = [
  [SPACE, '<parameter='],
  [SPACE, FUNCTION_CLOSE],
];

const nameOf = (captured: readonly string[]): string => (captured[0] ?? '').trim().replace(/^(["'])(.*)\1$/, '$2');

const matchTagged = (text: string, at: number): Lookahead => matchSteps(text, at, TAGGED);

class XmlBody implements ToolCallBody {
  readonly #parameters: ParametersSchema;
  /** The events not given out yet. */
  #events: BodyEvent[];
  #buffer = '';
  /** The parameter whose value is being read. */
  #key: string | null = null;
  #cursor = new ValueCursor();
  readonly #given = new Set<string>();
  #rest: string | null = null;

  constructor(name: string, parameters: ParametersSchema) {
    this.#parameters = parameters;
    this.#events = [{ kind: 'name', name }];
  }

  push(text: string): BodyStep {
    this.#buffer += text;
    while (this.#rest === null && this.#step(false));
    return { events: this.#take(), rest: this.#rest };
  }

  end(cause: TextEnd): BodyEnd {
    if (cause === 'eos') {
      while (this.#rest === null && this.#step(true));
      if (this.#rest === null) this.#complete('');
    }
    return { events: this.#take(), rest: this.#rest ?? '' };
  }

  #take(): BodyEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  #step(isFinal: boolean): boolean {
    return this.#key === null ? this.#stepBetween() : this.#stepValue(this.#key, isFinal);
  }

  /** Between parameters: text that is no tag is skipped. */
  #stepBetween(): boolean {
    let at = this.#buffer.indexOf('<');
    for (; at >= 0; at = this.#buffer.indexOf('<', at + 1)) {
      const head = matchSteps(this.#buffer, at, PARAMETER_HEAD);
      const close = matchSteps(this.#buffer, at, [FUNCTION_CLOSE]);
      const other = matchAny(this.#buffer, at, CALL_ENDS);
      if (head.kind === 'match') {
        this.#key = nameOf(head.captured);
        this.#cursor = new ValueCursor();
        this.#buffer = this.#buffer.slice(head.end);
        return true;
      }
      if (close.kind === 'match' || other.kind === 'match') {
        this.#complete(this.#buffer.slice(close.kind === 'match' ? close.end : at));
        return false;
      }
      if ([head, close, other].some((found) => found.kind === 'partial')) break;
    }
    this.#buffer = at < 0 ? '' : this.#buffer.slice(at);
    return false;
  }

  #stepValue(key: string, isFinal: boolean): boolean {
    const isMissing = (name: string): boolean => this.#isMissing(name, key);
    let found = findValueEnd(this.#buffer, this.#cursor, isMissing, isFinal);
    if (found === null && !isFinal) return false;
    // What seemed a whole call within the value never closed: read its tags as our own.
    found ??= findValueEnd(this.#buffer, new ValueCursor({ nesting: false }), isMissing, isFinal);
    found ??= { end: this.#buffer.length, next: this.#buffer.length };
    const raw = valueText(this.#buffer.slice(0, found.end), found.next === found.end);
    const json = parameterJson(raw, key, this.#parameters);
    const lead = this.#given.size === 0 ? '{' : ',';
    this.#events.push({ kind: 'arguments', text: `${lead}${JSON.stringify(key)}:${json}` });
    this.#given.add(key);
    this.#key = null;
    this.#buffer = this.#buffer.slice(found.next);
    return true;
  }

  /** True for a parameter that may still come, so that its tag can end a value whose own closing tag is missing. */
  #isMissing(name: string, current: string): boolean {
    if (name === current || this.#given.has(name)) return false;
    return !Object.hasOwn(this.#parameters, 'properties') || declaresParameter(name, this.#parameters);
  }

  #complete(rest: string): void {
    this.#events.push({ kind: 'arguments', text: this.#given.size === 0 ? '{}' : '}' }, { kind: 'complete' });
    this.#rest = rest;
  }
}

/**
 * A tag without `<tool_call>` before it opens a call only at the start of a line, with the name of one of the tools, and
 * with a parameter or the end behind it: all else may be prose.
 */
export const xmlToolCalls = (tools: ToolSchemas): ToolCallFormat => {
  const matchUntagged = (text: string, at: number): Lookahead => {
    const head = matchSteps(text, at, FUNCTION_HEAD);
    if (head.kind !== 'match') return head;
    if (!tools.has(nameOf(head.captured))) return NO;
    const begins = matchAny(text, head.end, BODY_BEGINS);
    return begins.kind === 'match' ? head : begins;
  };
  return {
    matchTagged,
    matchOpening: (text: string, at: number, place: OpeningPlace): Lookahead => {
      const tagged = matchTagged(text, at);
      if (tagged.kind !== 'no') return tagged;
      if (place.insideBlock) return matchSteps(text, at, FUNCTION_HEAD);
      return place.lineStart ? matchUntagged(text, at) : NO;
    },
    newBody: (captured: readonly string[]): ToolCallBody => {
      const name = nameOf(captured);
      return new XmlBody(name, tools.get(name) ?? {});
    },
  };
};
