/**
 * Finds tool calls in a stream of content, whatever their format. All text outside of calls comes out as text, all
 * calls as a start, argument pieces and an end; what looked like a call and was none comes out as text too.
 */
import { matchSteps } from './output-lookahead.ts';
import {
  CALL_CLOSE,
  type BodyEvent,
  type BodyStep,
  type TextEnd,
  type ToolCallBody,
  type ToolCallFormat,
} from './tool-call-format.ts';

export type ToolSegment =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'call'; readonly name: string }
  | { readonly kind: 'arguments'; readonly text: string }
  | { readonly kind: 'call_end' };

/** `after`: behind a call's body, where white space and the closing tag belong to the call. */
type State = { readonly kind: 'text' } | { readonly kind: 'body'; readonly body: ToolCallBody } | { kind: 'after' };

/** The first character behind a call that is neither white space nor a bracket that closed one too many. */
const BEHIND_CALL = /[^\s}\]]|$/;

const segmentOf = (event: BodyEvent): ToolSegment => {
  switch (event.kind) {
    case 'name':
      return { kind: 'call', name: event.name };
    case 'arguments':
      return event;
    case 'complete':
      break;
  }
  return { kind: 'call_end' };
};

export class ToolCallParser {
  readonly #format: ToolCallFormat;
  #state: State = { kind: 'text' };
  #buffer = '';
  /** Only white space since the last newline of the content. */
  #lineStart = true;

  constructor(format: ToolCallFormat) {
    this.#format = format;
  }

  push(text: string): ToolSegment[] {
    this.#buffer += text;
    const segments: ToolSegment[] = [];
    while (this.#step(segments));
    return segments;
  }

  /** What was held back; a call the model left open is completed or not, see `ToolCallBody.end`. */
  end(cause: TextEnd): ToolSegment[] {
    const segments: ToolSegment[] = [];
    // Ending a body may free text behind it that holds further calls.
    while (this.#state.kind === 'body') {
      this.#accept(this.#state.body.end(cause), segments);
      while (this.#step(segments));
    }
    const isCallsOwn =
      this.#state.kind === 'after' && CALL_CLOSE.startsWith(this.#buffer.slice(this.#buffer.search(BEHIND_CALL)));
    if (!isCallsOwn) this.#text(this.#buffer, segments);
    this.#buffer = '';
    return segments;
  }

  /** One transition; false when more text is needed. */
  #step(segments: ToolSegment[]): boolean {
    if (this.#buffer === '') return false;
    switch (this.#state.kind) {
      case 'text':
        return this.#stepText(segments);
      case 'after':
        return this.#stepAfter(segments);
      case 'body':
        break;
    }
    const piece = this.#buffer;
    this.#buffer = '';
    this.#accept(this.#state.body.push(piece), segments);
    return true;
  }

  #accept(step: BodyStep, segments: ToolSegment[]): void {
    segments.push(...step.events.map(segmentOf));
    if (step.refused !== undefined) this.#text(step.refused, segments);
    if (step.rest === null) return;
    this.#buffer = step.rest + this.#buffer;
    this.#state = { kind: step.refused === undefined ? 'after' : 'text' };
  }

  #stepText(segments: ToolSegment[]): boolean {
    let at = this.#nextCandidate(0);
    for (; at < this.#buffer.length; at = this.#nextCandidate(at + 1)) {
      const place = { lineStart: this.#startsLine(this.#buffer, at), insideBlock: false };
      const found = this.#format.matchOpening(this.#buffer, at, place);
      if (found.kind === 'match') {
        this.#text(this.#buffer.slice(0, at), segments);
        this.#open(found.captured, at, found.end, segments);
        return true;
      }
      if (found.kind === 'partial') break;
    }
    this.#text(this.#buffer.slice(0, at), segments);
    this.#buffer = this.#buffer.slice(at);
    return false;
  }

  #stepAfter(segments: ToolSegment[]): boolean {
    const blank = this.#buffer.search(BEHIND_CALL);
    if (blank === this.#buffer.length) return false;
    const close = matchSteps(this.#buffer, blank, [CALL_CLOSE]);
    const next = this.#format.matchOpening(this.#buffer, blank, { lineStart: true, insideBlock: true });
    if (next.kind === 'match') {
      this.#open(next.captured, blank, next.end, segments);
      return true;
    }
    if (close.kind === 'partial' || next.kind === 'partial') return false;
    if (close.kind === 'match') this.#buffer = this.#buffer.slice(close.end);
    this.#state = { kind: 'text' };
    this.#lineStart = true;
    return true;
  }

  #open(captured: readonly string[], start: number, end: number, segments: ToolSegment[]): void {
    const body = this.#format.newBody(captured, this.#buffer.slice(start, end));
    this.#state = { kind: 'body', body };
    this.#buffer = this.#buffer.slice(end);
    this.#accept(body.push(''), segments);
  }

  /** Where an opening may stand next; the buffer's length when nowhere. */
  #nextCandidate(from: number): number {
    for (let at = from; at < this.#buffer.length; at += 1) {
      const char = this.#buffer[at];
      if (char === '<' || char === '{') return at;
    }
    return this.#buffer.length;
  }

  /** Whether only white space stands before `at` on its line. */
  #startsLine(text: string, at: number): boolean {
    for (let place = at - 1; place >= 0; place -= 1) {
      const char = text.charAt(place);
      if (char === '\n' || char.trim() !== '') return char === '\n';
    }
    return this.#lineStart;
  }

  #text(text: string, segments: ToolSegment[]): void {
    if (text === '') return;
    segments.push({ kind: 'text', text });
    this.#lineStart = this.#startsLine(text, text.length);
  }
}
