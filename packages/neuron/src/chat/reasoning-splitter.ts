/**
 * Splits a model's text into reasoning (`<think>…</think>`) and content, as it streams. The newlines that chat
 * templates put around both are dropped; all other text comes out exactly once, in order.
 */
import { matchSteps, type Lookahead } from './output-lookahead.ts';

/**
 * Where the prompt left the model. `open`: inside a think block, the generated text has no opening tag. `closed`: after
 * one, or the model has none; nothing is split. `none`: before one; the model may open it at the very start.
 */
export type ThinkingStart = 'open' | 'closed' | 'none';

export interface ReasoningSegment {
  readonly kind: 'reasoning' | 'content';
  readonly text: string;
}

const OPEN = '<think>';
const CLOSE = '</think>';
const NO: Lookahead = { kind: 'no' };

/** Linear also over thousands of newlines, which `/\n+$/` is not. */
const withoutLastNewlines = (text: string): string => {
  let end = text.length;
  while (end > 0 && text[end - 1] === '\n') end -= 1;
  return text.slice(0, end);
};

/**
 * `start`: a block may open. `lead`: just inside it. `thinking`. `gap`: just behind it. `content`: for good.
 */
type State = 'start' | 'lead' | 'thinking' | 'gap' | 'content';

const FIRST_STATE = { open: 'lead', closed: 'content', none: 'start' } as const satisfies Record<ThinkingStart, State>;

export class ReasoningSplitter {
  #state: State;
  #buffer = '';
  #reopened = false;
  #endedByCall = false;
  readonly #matchCall: (text: string, at: number) => Lookahead;

  /**
   * @param matchCall tells where a tool call opens. A model may begin one without closing its think block; the
   * reasoning ends there, and the call is content.
   */
  constructor(start: ThinkingStart, matchCall: (text: string, at: number) => Lookahead = () => NO) {
    this.#state = FIRST_STATE[start];
    this.#matchCall = matchCall;
  }

  /** True while the next text would be reasoning, as far as can be told. */
  get inReasoning(): boolean {
    return this.#state === 'lead' || this.#state === 'thinking';
  }

  /** True once a tool call, not a closing tag, has ended the reasoning. */
  get endedByCall(): boolean {
    return this.#endedByCall;
  }

  push(piece: string): ReasoningSegment[] {
    this.#buffer += piece;
    const segments: ReasoningSegment[] = [];
    while (this.#step(segments));
    return segments;
  }

  /** What was held back. An unclosed block stays reasoning. */
  end(): ReasoningSegment[] {
    const kind = this.inReasoning ? 'reasoning' : 'content';
    const text = kind === 'reasoning' ? withoutLastNewlines(this.#buffer) : this.#buffer;
    this.#buffer = '';
    return text === '' ? [] : [{ kind, text }];
  }

  /** One transition; false when more text is needed. */
  #step(segments: ReasoningSegment[]): boolean {
    switch (this.#state) {
      case 'start':
        return this.#stepStart();
      case 'lead':
        return this.#stepLead();
      case 'thinking':
        return this.#stepThinking(segments);
      case 'gap':
        this.#buffer = this.#buffer.replace(/^\n+/, '');
        if (this.#buffer !== '') this.#state = 'content';
        return this.#buffer !== '';
      case 'content':
        break;
    }
    if (this.#buffer !== '') segments.push({ kind: 'content', text: this.#buffer });
    this.#buffer = '';
    return false;
  }

  #stepStart(): boolean {
    const blank = this.#buffer.length - this.#buffer.trimStart().length;
    const open = matchSteps(this.#buffer, blank, [OPEN]);
    if (open.kind === 'partial') return false;
    if (open.kind === 'match') this.#buffer = this.#buffer.slice(open.end);
    this.#reopened = open.kind === 'match';
    this.#state = open.kind === 'match' ? 'lead' : 'content';
    return true;
  }

  /** Some models write the tag again although the prompt holds it already: once is forgiven. */
  #stepLead(): boolean {
    this.#buffer = this.#buffer.replace(/^\n+/, '');
    if (this.#buffer === '') return false;
    const again = this.#reopened ? NO : matchSteps(this.#buffer, 0, [OPEN]);
    if (again.kind === 'partial') return false;
    this.#reopened = true;
    if (again.kind === 'match') this.#buffer = this.#buffer.slice(again.end);
    else this.#state = 'thinking';
    return true;
  }

  #stepThinking(segments: ReasoningSegment[]): boolean {
    let at = this.#buffer.indexOf('<');
    while (at >= 0) {
      const close = matchSteps(this.#buffer, at, [CLOSE]);
      const call = this.#matchCall(this.#buffer, at);
      if (close.kind === 'match' || call.kind === 'match') {
        this.#endedByCall = close.kind !== 'match';
        this.#release(segments, at);
        this.#buffer = this.#buffer.trimStart().slice(close.kind === 'match' ? CLOSE.length : 0);
        this.#state = close.kind === 'match' ? 'gap' : 'content';
        return true;
      }
      if (close.kind === 'partial' || call.kind === 'partial') break;
      at = this.#buffer.indexOf('<', at + 1);
    }
    this.#release(segments, at < 0 ? this.#buffer.length : at);
    return false;
  }

  /** Gives out the reasoning before `end`, but for the newlines at its end: a closing tag may follow them. */
  #release(segments: ReasoningSegment[], end: number): void {
    const text = withoutLastNewlines(this.#buffer.slice(0, end));
    if (text !== '') segments.push({ kind: 'reasoning', text });
    this.#buffer = this.#buffer.slice(text.length);
  }
}
