/**
 * Finds added tokens in text: leftmost first, the longest of those that start together, as Hugging Face tokenizers'
 * `AddedVocabulary` does. Text between them is left for the model's own splitting.
 */
import type { AddedToken } from './tokenizer-files.ts';

export type Segment =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'token'; readonly token: AddedToken };

const escapeRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, String.raw`\$&`);

/** A pattern that matches any of `literals`, at each place the longest; never matches when there are none. */
export const literalsPattern = (literals: Iterable<string>): RegExp => {
  const longestFirst = [...literals].toSorted((a, b) => b.length - a.length);
  return longestFirst.length === 0 ? /(?!)/g : new RegExp(longestFirst.map(escapeRegExp).join('|'), 'g');
};

const isWordChar = (char: string | undefined): boolean =>
  char !== undefined && /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]/u.test(char);

const isWholeWord = (text: string, start: number, end: number): boolean =>
  !isWordChar(text[start - 1]) && !isWordChar(text[end]);

export class AddedTokenSplitter {
  readonly #tokens: ReadonlyMap<string, AddedToken>;
  readonly #pattern: RegExp;

  constructor(tokens: readonly AddedToken[]) {
    this.#tokens = new Map(tokens.map((token) => [token.content, token]));
    this.#pattern = literalsPattern(this.#tokens.keys());
  }

  /** Every character of `text` is in exactly one segment, but for blanks that a token swallows (lstrip, rstrip). */
  split(text: string): Segment[] {
    const segments: Segment[] = [];
    let done = 0;
    for (const match of text.matchAll(this.#pattern)) {
      const token = this.#tokens.get(match[0]);
      let start = match.index;
      let end = start + match[0].length;
      if (token === undefined || start < done) continue;
      if (token.singleWord && !isWholeWord(text, start, end)) continue;
      if (token.lstrip) start = done + text.slice(done, start).trimEnd().length;
      if (token.rstrip) end = text.length - text.slice(end).trimStart().length;
      if (start > done) segments.push({ kind: 'text', text: text.slice(done, start) });
      segments.push({ kind: 'token', token });
      done = end;
    }
    if (done < text.length) segments.push({ kind: 'text', text: text.slice(done) });
    return segments;
  }
}
