/**
 * JSON as models write it, turned into strict JSON while it streams. What has been given out is always the beginning
 * of one valid JSON text, so it may be sent on at once; white space between tokens is dropped.
 *
 * Read beside JSON: Python literals (single quotes, True, False, None, tuples, `\xNN`), raw control characters in
 * strings, trailing commas. Beyond that it guesses, and says so in `guessed`: quotes not escaped inside a string, bare
 * words, unknown escapes, missing commas, colons and closing brackets.
 */

type Container = '{' | '[';

/** What the innermost container waits for. */
type Expect = 'key' | 'colon' | 'value' | 'comma';

interface Frame {
  readonly container: Container;
  expect: Expect;
  /** True once the container holds something, so that the next entry needs a comma before it. */
  filled: boolean;
}

/** A string being read; `tail` is the white space behind a quote that may or may not have closed it. */
interface StringState {
  readonly quote: string;
  escape: string;
  tail: string | null;
}

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const LITERALS = new Map([
  ['true', 'true'],
  ['false', 'false'],
  ['null', 'null'],
  ['True', 'true'],
  ['False', 'false'],
  ['None', 'null'],
]);
const OPENERS = new Map<string, Container>([
  ['{', '{'],
  ['[', '['],
  ['(', '['],
]);
const CLOSERS = new Map<string, Container>([
  ['}', '{'],
  [']', '['],
  [')', '['],
]);
const CLOSER_OF = { '{': '}', '[': ']' } as const satisfies Record<Container, string>;
const SIMPLE_ESCAPES = '"\\/bfnrt';
const HEX = /^[0-9a-fA-F]+$/;

const escaped = (text: string): string => JSON.stringify(text).slice(1, -1);

/** Strict JSON number text, kept digit for digit; null when it is none. */
export const jsonNumber = (text: string): string | null => (NUMBER.test(text) ? text : null);

export class RelaxedJson {
  readonly #stack: Frame[] = [];
  #string: StringState | null = null;
  #atom: string | null = null;
  #out = '';
  #done = false;
  #guessed = false;

  /** True once the outermost object or array is closed. */
  get done(): boolean {
    return this.#done;
  }

  /** True once something was read that neither JSON nor Python would accept. */
  get guessed(): boolean {
    return this.#guessed;
  }

  /**
   * Reads until the outermost value closes or a `<` stands outside of a string, where JSON cannot have one.
   * @returns the strict JSON made, and how much of `text` was read.
   */
  push(text: string): { readonly json: string; readonly consumed: number } {
    let consumed = 0;
    while (consumed < text.length && !this.#done) {
      const char = text.charAt(consumed);
      if (char === '<' && this.#string === null) break;
      this.#read(char);
      consumed += 1;
    }
    return { json: this.#take(), consumed };
  }

  /** Closes whatever is open. Nothing may be pushed afterwards. */
  finish(): string {
    if (!this.#done) this.#guessed = true;
    if (this.#string !== null) this.#endString();
    this.#endAtom();
    while (this.#stack.length > 0) this.#close();
    return this.#take();
  }

  #take(): string {
    const out = this.#out;
    this.#out = '';
    return out;
  }

  #read(char: string): void {
    if (this.#string !== null) this.#readInString(this.#string, char);
    else this.#readToken(char);
  }

  #readToken(char: string): void {
    const top = this.#stack.at(-1);
    const mayBeKey = top?.container === '{' && (top.expect === 'key' || top.expect === 'comma');
    if (char === '"' || (char === "'" && this.#atom === null)) {
      this.#endAtom();
      this.#begin();
      this.#out += '"';
      this.#string = { quote: char, escape: '', tail: null };
    } else if (OPENERS.has(char)) {
      this.#open(OPENERS.get(char) ?? '{');
    } else if (CLOSERS.has(char)) {
      this.#endAtom();
      this.#closeUpTo(CLOSERS.get(char) ?? '{');
    } else if (char === ',') {
      this.#endAtom();
      this.#readComma();
    } else if (char === ':' && (this.#atom === null || mayBeKey)) {
      this.#endAtom();
      this.#readColon();
    } else if (char === '\n') {
      this.#endAtom();
    } else if (this.#atom !== null || char.trim() !== '') {
      this.#atom = (this.#atom ?? '') + char;
    }
  }

  #readInString(string: StringState, char: string): void {
    if (string.tail !== null) {
      if (char.trim() === '') string.tail += char;
      else this.#settleQuote(string, string.tail, char);
    } else if (string.escape !== '') {
      this.#readEscape(string, char);
    } else if (char === '\\') {
      string.escape = char;
    } else if (char === string.quote) {
      string.tail = '';
    } else {
      this.#out += char === '"' || char < ' ' ? escaped(char) : char;
    }
  }

  /** A quote closes its string when what follows could follow a string; otherwise it was meant as text. */
  #settleQuote(string: StringState, tail: string, next: string): void {
    const isKey = this.#stack.at(-1)?.expect === 'key';
    if (next === ',' || CLOSERS.has(next) || (isKey && next === ':')) {
      this.#endString();
      this.#readToken(next);
      return;
    }
    this.#guessed = true;
    this.#out += escaped(string.quote + tail);
    string.tail = null;
    this.#readInString(string, next);
  }

  #readEscape(string: StringState, char: string): void {
    string.escape += char;
    const { escape } = string;
    const kind = escape.charAt(1);
    const digits = kind === 'u' ? 4 : kind === 'x' ? 2 : 0;
    if (digits > 0 && HEX.test(escape.slice(2)) && escape.length < 2 + digits) return;
    if (digits > 0 && escape.length === 2) return;
    string.escape = '';
    if (SIMPLE_ESCAPES.includes(kind)) this.#out += escape;
    else if (kind === "'") this.#out += kind;
    else if (digits > 0 && HEX.test(escape.slice(2))) this.#out += `\\u${escape.slice(2).padStart(4, '0')}`;
    else this.#keepBadEscape(string, escape);
  }

  /** `\d` or `\u12g`: the backslash was meant as text, what follows it is read again. */
  #keepBadEscape(string: StringState, escape: string): void {
    this.#guessed = true;
    this.#out += '\\\\';
    for (const char of escape.slice(1)) this.#readInString(string, char);
  }

  #endString(): void {
    if (this.#string !== null && this.#string.escape !== '') this.#out += escaped(this.#string.escape);
    this.#string = null;
    this.#out += '"';
    this.#ended();
  }

  #endAtom(): void {
    const atom = this.#atom?.trim() ?? '';
    this.#atom = null;
    if (atom === '') return;
    const top = this.#stack.at(-1);
    if (top !== undefined) this.#insertComma(top);
    const isKey = top?.expect === 'key';
    const literal = isKey ? undefined : (LITERALS.get(atom) ?? jsonNumber(atom) ?? undefined);
    if (literal === undefined) this.#guessed = true;
    this.#begin();
    this.#out += literal ?? JSON.stringify(atom);
    this.#ended();
  }

  /** Writes what must stand before the next key or value. */
  #begin(): void {
    const top = this.#stack.at(-1);
    if (top === undefined) return;
    this.#insertComma(top);
    if (top.expect === 'colon') {
      this.#guessed = true;
      this.#readColon();
    }
    const isEntry = top.expect === 'key' || top.container === '[';
    if (isEntry && top.filled) this.#out += ',';
    top.filled = true;
  }

  #insertComma(top: Frame): void {
    if (top.expect !== 'comma') return;
    this.#guessed = true;
    this.#readComma();
  }

  /** A key or a value is complete. */
  #ended(): void {
    const top = this.#stack.at(-1);
    if (top === undefined) this.#done = true;
    else top.expect = top.expect === 'key' ? 'colon' : 'comma';
  }

  #readComma(): void {
    const top = this.#stack.at(-1);
    if (top === undefined) return;
    if (top.container === '{') this.#giveMissingValue(top);
    top.expect = top.container === '{' ? 'key' : 'value';
  }

  #readColon(): void {
    const top = this.#stack.at(-1);
    if (top?.expect !== 'colon') {
      this.#guessed = true;
      return;
    }
    this.#out += ':';
    top.expect = 'value';
  }

  /** A key without its value gets null. */
  #giveMissingValue(top: Frame): void {
    if (top.expect !== 'colon' && top.expect !== 'value') return;
    this.#guessed = true;
    this.#out += top.expect === 'colon' ? ':null' : 'null';
    top.expect = 'comma';
  }

  #open(container: Container): void {
    this.#endAtom();
    const top = this.#stack.at(-1);
    if (top !== undefined) this.#insertComma(top);
    if (top?.expect === 'key') {
      // A container cannot be a key: the name it should have had is lost, the value is not.
      this.#guessed = true;
      this.#begin();
      this.#out += '""';
      this.#ended();
    }
    this.#begin();
    this.#out += container;
    this.#stack.push({ container, expect: container === '{' ? 'key' : 'value', filled: false });
  }

  /** Closes the innermost container of this kind and all inside it; a closer that fits nothing is dropped. */
  #closeUpTo(container: Container): void {
    const index = this.#stack.findLastIndex((frame) => frame.container === container);
    if (index !== this.#stack.length - 1) this.#guessed = true;
    if (index < 0) return;
    while (this.#stack.length > index) this.#close();
  }

  #close(): void {
    const top = this.#stack.at(-1);
    if (top === undefined) return;
    if (top.container === '{') this.#giveMissingValue(top);
    this.#stack.pop();
    this.#out += CLOSER_OF[top.container];
    this.#ended();
  }
}

/** A whole text as strict JSON, when it is an object or array in JSON's or Python's notation, and no guess is needed. */
export const strictJsonOf = (text: string): string | null => {
  const trimmed = text.trim();
  if (!OPENERS.has(trimmed.charAt(0))) return null;
  const reader = new RelaxedJson();
  const { json, consumed } = reader.push(trimmed);
  return reader.done && !reader.guessed && consumed === trimmed.length ? json : null;
};
