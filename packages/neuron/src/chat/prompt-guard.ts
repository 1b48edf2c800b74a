/**
 * Keeps control tokens the template's alone. Before rendering, a marker character is put inside every control token
 * spelled out in a client's strings, and at every edge of such a string where a piece of one could meet its other
 * half. What still reads as a control token after rendering was written by the template; then the markers come out.
 * A template that itself writes both ends of a token around a client's text is taken at its word.
 */
import { CortexError } from '@cortex/core';
import { literalsPattern } from '../tokenizer/added-token-splitter.ts';
import type { TemplateMessage } from './messages.ts';
import type { TemplateInput } from './template.ts';

export interface GuardedInput {
  readonly input: TemplateInput;
  /** Takes the markers out of rendered text. */
  readonly reveal: (text: string) => string;
}

type ChangeText = (text: string) => string;

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Every string within, names of fields included. */
const changeDeep = (value: unknown, change: ChangeText): unknown => {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((item) => changeDeep(item, change));
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [change(key), changeDeep(item, change)]));
};

/** The client's strings; roles and part types are ours, and templates compare them. */
const changeMessage = (message: TemplateMessage, change: ChangeText): TemplateMessage => {
  const { role, content, ...rest } = message;
  const changed =
    typeof content === 'string'
      ? change(content)
      : content.map((part) => (part.type === 'text' ? { type: part.type, text: change(part.text) } : part));
  const fields = Object.entries(rest).map(([key, value]) => [key, changeDeep(value, change)]);
  return { role, content: changed, ...Object.fromEntries(fields) } as TemplateMessage;
};

const changeInput = (input: TemplateInput, change: ChangeText): TemplateInput => ({
  ...input,
  messages: input.messages.map((message) => changeMessage(message, change)),
  tools: changeDeep(input.tools, change) as TemplateInput['tools'],
  kwargs: Object.fromEntries(Object.entries(input.kwargs).map(([name, value]) => [name, changeDeep(value, change)])),
});

/** Characters nobody exchanges: Unicode's noncharacters, then the private use area. */
function* markerCandidates(): Generator<string> {
  for (let code = 0xfdd0; code <= 0xfdef; code += 1) yield String.fromCharCode(code);
  for (let code = 0xe000; code <= 0xf8ff; code += 1) yield String.fromCharCode(code);
}

/** How a template's `tojson(ensure_ascii=true)` would write it. */
const escaped = (marker: string): string => `\\u${marker.charCodeAt(0).toString(16)}`;

const chooseMarker = (texts: readonly string[]): string => {
  for (const marker of markerCandidates()) {
    if (!texts.some((text) => text.includes(marker) || text.includes(escaped(marker)))) return marker;
  }
  throw new CortexError('invalid_request', 'messages: use up every private character there is', { param: 'messages' });
};

export class PromptGuard {
  /** Matches, without taking anything, wherever a control token starts. */
  readonly #starts: RegExp;
  readonly #heads = new Set<string>();
  readonly #tails = new Set<string>();
  readonly #cuts: RegExp;
  readonly #lengthMax: number;

  /** `cuts` are strings at which a template may take texts apart; each piece then has edges of its own. */
  constructor(controlTokens: readonly string[], cuts: Iterable<string>) {
    this.#starts = new RegExp(`(?=${literalsPattern(controlTokens).source})`, 'g');
    this.#cuts = literalsPattern([...cuts].filter((cut) => cut !== ''));
    this.#lengthMax = Math.max(0, ...controlTokens.map((token) => token.length - 1));
    for (const token of controlTokens) {
      for (let i = 1; i < token.length; i += 1) {
        this.#heads.add(token.slice(0, i));
        this.#tails.add(token.slice(i));
      }
    }
  }

  /** @throws CortexError `invalid_request` where no marker character is left to use. */
  protect(input: TemplateInput): GuardedInput {
    const texts: string[] = [];
    let isSafe = true;
    changeInput(input, (text) => {
      texts.push(text);
      isSafe &&= this.#places(text).size === 0;
      return text;
    });
    if (isSafe) return { input, reveal: (text) => text };
    const marker = chooseMarker(texts);
    return {
      input: changeInput(input, (text) => this.#mark(text, marker)),
      reveal: (text) => text.replaceAll(marker, '').replaceAll(escaped(marker), ''),
    };
  }

  #mark(text: string, marker: string): string {
    let marked = '';
    let done = 0;
    for (const place of [...this.#places(text)].toSorted((a, b) => a - b)) {
      marked += text.slice(done, place) + marker;
      done = place;
    }
    return marked + text.slice(done);
  }

  /** Offsets in `text` that a marker must break. */
  #places(text: string): Set<number> {
    const places = new Set<number>();
    for (const { index } of text.matchAll(this.#starts)) places.add(index + 1);
    let start = 0;
    for (const cut of text.matchAll(this.#cuts)) {
      this.#addEdges(text, start, cut.index, places);
      start = cut.index + cut[0].length;
    }
    this.#addEdges(text, start, text.length, places);
    return places;
  }

  /** Edges as they are once a template has trimmed the piece. */
  #addEdges(text: string, from: number, to: number, places: Set<number>): void {
    const piece = text.slice(from, to);
    const start = from + piece.length - piece.trimStart().length;
    const end = from + piece.trimEnd().length;
    for (let length = 1; length <= Math.min(this.#lengthMax, end - start); length += 1) {
      if (this.#tails.has(text.slice(start, start + length))) places.add(start);
      if (this.#heads.has(text.slice(end - length, end))) places.add(end);
    }
  }
}
