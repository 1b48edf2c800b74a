/**
 * The part of ECMA-262 regular expressions (with the `u` flag) that describes a regular language over characters:
 * JSON Schema's `pattern`. Look-around, back-references, word boundaries, Unicode properties and flags are refused by name.
 */
import { characters, codePointSet, complement, everything, union, type CodePointSet } from './code-points.ts';
import { unsupported } from './compile-error.ts';

export type Regex =
  | { readonly kind: 'set'; readonly set: CodePointSet }
  | { readonly kind: 'concat'; readonly items: readonly Regex[] }
  | { readonly kind: 'alternate'; readonly items: readonly Regex[] }
  | { readonly kind: 'repeat'; readonly item: Regex; readonly min: number; readonly max: number | null }
  | { readonly kind: 'start' }
  | { readonly kind: 'end' };

const patternLengthMax = 1000;
const nestingMax = 50;
const repeatMax = 1000;

const digits = codePointSet([[0x30, 0x39]]);
const wordCharacters = union(
  digits,
  codePointSet([
    [0x41, 0x5a],
    [0x61, 0x7a],
    [0x5f, 0x5f],
  ]),
);
/** ECMA-262 WhiteSpace and LineTerminator. */
const spaces = codePointSet([
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]);
const lineTerminators = characters('\n\r\u2028\u2029');
const classEscapes: Readonly<Record<string, CodePointSet>> = {
  d: digits,
  D: complement(digits),
  w: wordCharacters,
  W: complement(wordCharacters),
  s: spaces,
  S: complement(spaces),
};
const controlEscapes: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 };

/** Parses `pattern`; `path` is where it stands in the schema. Throws `unsupported_parameter` naming what it met. */
export function parseRegex(pattern: string, path: string): Regex {
  return new RegexParser(pattern, path).parse();
}

class RegexParser {
  readonly #source: readonly string[];
  readonly #path: string;
  #at = 0;
  #depth = 0;

  constructor(pattern: string, path: string) {
    this.#source = Array.from(pattern);
    this.#path = path;
  }

  parse(): Regex {
    if (this.#source.length > patternLengthMax) throw this.#refuse(`longer than ${patternLengthMax} characters`);
    const regex = this.#alternation();
    if (this.#at < this.#source.length) throw this.#refuse(`unbalanced ")" at ${this.#at}`);
    return regex;
  }

  #refuse(why: string): Error {
    return unsupported('pattern', this.#path, why);
  }

  #peek(offset = 0): string {
    return this.#source[this.#at + offset] ?? '';
  }

  #take(): string {
    const character = this.#peek();
    if (character === '') throw this.#refuse('it ends too early');
    this.#at++;
    return character;
  }

  #eat(expected: string): boolean {
    if (this.#source.slice(this.#at, this.#at + expected.length).join('') !== expected) return false;
    this.#at += expected.length;
    return true;
  }

  #alternation(): Regex {
    if (++this.#depth > nestingMax) throw this.#refuse(`groups nested deeper than ${nestingMax}`);
    const items = [this.#concatenation()];
    while (this.#eat('|')) items.push(this.#concatenation());
    this.#depth--;
    return items.length === 1 && items[0] !== undefined ? items[0] : { kind: 'alternate', items };
  }

  #concatenation(): Regex {
    const items: Regex[] = [];
    while (this.#peek() !== '' && this.#peek() !== '|' && this.#peek() !== ')') items.push(this.#term());
    return { kind: 'concat', items };
  }

  #term(): Regex {
    if (this.#eat('^')) return { kind: 'start' };
    if (this.#eat('$')) return { kind: 'end' };
    const item = this.#atom();
    const range = this.#quantifier();
    if (range === null) return item;
    // Lazy or greedy, the language is the same.
    this.#eat('?');
    if (this.#quantifier() !== null) throw this.#refuse('nothing to repeat');
    return { kind: 'repeat', item, min: range[0], max: range[1] };
  }

  #quantifier(): readonly [min: number, max: number | null] | null {
    if (this.#eat('*')) return [0, null];
    if (this.#eat('+')) return [1, null];
    if (this.#eat('?')) return [0, 1];
    if (!this.#eat('{')) return null;
    const min = this.#number();
    const max = this.#eat(',') ? (this.#peek() === '}' ? null : this.#number()) : min;
    if (!this.#eat('}')) throw this.#refuse('a quantifier without "}"');
    if (min > repeatMax || (max ?? 0) > repeatMax) throw this.#refuse(`repeating more than ${repeatMax} times`);
    if (max !== null && max < min) throw this.#refuse(`the quantifier {${min},${max}} is out of order`);
    return [min, max];
  }

  #number(): number {
    let digitsSeen = '';
    while (/^[0-9]$/.test(this.#peek())) digitsSeen += this.#take();
    if (digitsSeen === '') throw this.#refuse('a quantifier without a number');
    return Number(digitsSeen);
  }

  #atom(): Regex {
    const character = this.#take();
    switch (character) {
      case '.':
        return { kind: 'set', set: complement(lineTerminators) };
      case '(':
        return this.#group();
      case '[':
        return { kind: 'set', set: this.#characterClass() };
      case '\\':
        return { kind: 'set', set: this.#escape(false) };
      case '*':
      case '+':
      case '?':
      case '{':
      case '}':
      case ']':
        throw this.#refuse(`a lone "${character}"`);
      default:
        return { kind: 'set', set: characters(character) };
    }
  }

  #group(): Regex {
    if (this.#eat('?<=') || this.#eat('?<!')) throw this.#refuse('look-behind');
    if (this.#eat('?=') || this.#eat('?!')) throw this.#refuse('look-ahead');
    if (this.#eat('?<')) {
      while (this.#take() !== '>');
    } else if (!this.#eat('?:') && this.#peek() === '?') {
      throw this.#refuse(`the group "(?${this.#peek(1)}"`);
    }
    const inner = this.#alternation();
    if (!this.#eat(')')) throw this.#refuse('a group without ")"');
    return inner;
  }

  #characterClass(): CodePointSet {
    const negated = this.#eat('^');
    let set: CodePointSet = [];
    while (!this.#eat(']')) {
      const first = this.#classMember();
      if (this.#peek() !== '-' || this.#peek(1) === ']') {
        set = union(set, first);
        continue;
      }
      this.#take();
      const last = this.#classMember();
      const from = single(first);
      const to = single(last);
      if (from === null || to === null) {
        // "[\\w-.]": a class cannot begin a range, so the hyphen is one (Annex B).
        set = [first, characters('-'), last].reduce(union, set);
        continue;
      }
      if (from > to) throw this.#refuse('a character range out of order');
      set = union(set, codePointSet([[from, to]]));
    }
    return negated ? complement(set) : set;
  }

  #classMember(): CodePointSet {
    const character = this.#take();
    return character === '\\' ? this.#escape(true) : characters(character);
  }

  #escape(inClass: boolean): CodePointSet {
    const character = this.#take();
    const named = Object.hasOwn(classEscapes, character) ? classEscapes[character] : undefined;
    if (named !== undefined) return named;
    const control = Object.hasOwn(controlEscapes, character) ? controlEscapes[character] : undefined;
    if (control !== undefined) return codePointSet([[control, control]]);
    if (character === 'b' && inClass) return codePointSet([[8, 8]]);
    if (character === 'b' || character === 'B') throw this.#refuse('word boundaries');
    if (character === 'p' || character === 'P') throw this.#refuse('Unicode properties');
    if (/^[1-9k]$/.test(character)) throw this.#refuse('back-references');
    const point = this.#codePointEscape(character);
    return codePointSet([[point, point]]);
  }

  #codePointEscape(character: string): number {
    if (character === '0' && !/^[0-9]$/.test(this.#peek())) return 0;
    if (character === 'c' && /^[A-Za-z]$/.test(this.#peek())) return (this.#take().codePointAt(0) ?? 0) % 32;
    if (character === 'x') return this.#hex(2);
    if (character === 'u' && this.#eat('{')) {
      let hex = '';
      while (!this.#eat('}')) hex += this.#take();
      const point = /^[0-9a-fA-F]{1,8}$/.test(hex) ? Number.parseInt(hex, 16) : Infinity;
      if (point > 0x10ffff) throw this.#refuse(`the escape \\u{${hex}}`);
      return point;
    }
    if (character === 'u') return this.#utf16Escape();
    // Escaped punctuation stands for itself, as without the `u` flag: "\-" and "\_" are common.
    if (/^[A-Za-z0-9]$/.test(character)) throw this.#refuse(`the escape "\\${character}"`);
    return character.codePointAt(0) ?? 0;
  }

  #utf16Escape(): number {
    const unit = this.#hex(4);
    const leads = unit >= 0xd800 && unit < 0xdc00;
    if (!leads || !this.#eat('\\u')) return unit;
    const trail = this.#hex(4);
    if (trail < 0xdc00 || trail > 0xdfff) throw this.#refuse('a surrogate without its pair');
    return 0x10000 + (unit - 0xd800) * 0x400 + (trail - 0xdc00);
  }

  #hex(length: number): number {
    let hex = '';
    while (hex.length < length) hex += this.#take();
    if (!/^[0-9a-fA-F]+$/.test(hex)) throw this.#refuse(`the escape of "${hex}"`);
    return Number.parseInt(hex, 16);
  }
}

/** The one member of a set of one. */
function single(set: CodePointSet): number | null {
  const range = set.length === 1 ? set[0] : undefined;
  return range !== undefined && range[0] === range[1] ? range[0] : null;
}

export const anyCharacter: Regex = { kind: 'set', set: everything };
