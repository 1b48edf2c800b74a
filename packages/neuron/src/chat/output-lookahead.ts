/**
 * Matching at a place in text that is still growing: a pattern is there, is not, or cannot be told yet.
 * Whoever streams releases text on `no`, acts on `match`, and holds it back on `partial`.
 */

/** White space of any length, also none. */
export const SPACE = Symbol('space');

/** A literal, white space, or one or more characters of a class, which are captured. */
export type Step = string | typeof SPACE | { readonly capture: RegExp };

export type Lookahead =
  | { readonly kind: 'no' }
  | { readonly kind: 'partial' }
  | { readonly kind: 'match'; readonly end: number; readonly captured: readonly string[] };

const NO: Lookahead = { kind: 'no' };
const PARTIAL: Lookahead = { kind: 'partial' };
const WHITE = /\s/;

/** A name longer than this is no name: it bounds what one stray tag may hold back. */
const CAPTURE_CHARS_MAX = 256;

const runEnd = (text: string, at: number, class_: RegExp): number => {
  let end = at;
  while (end < text.length && class_.test(text.charAt(end))) end += 1;
  return end;
};

/** Tries the steps one after the other from `at`. A capture's class must not be a global expression. */
export const matchSteps = (text: string, at: number, steps: readonly Step[]): Lookahead => {
  const captured: string[] = [];
  let place = at;
  for (const step of steps) {
    if (typeof step === 'string') {
      if (!text.startsWith(step, place)) return step.startsWith(text.slice(place)) ? PARTIAL : NO;
      place += step.length;
      continue;
    }
    const end = runEnd(text, place, step === SPACE ? WHITE : step.capture);
    if (step !== SPACE) {
      const name = text.slice(place, end);
      if (name.length > CAPTURE_CHARS_MAX || (name === '' && end < text.length)) return NO;
      captured.push(name);
    }
    if (end === text.length) return PARTIAL;
    place = end;
  }
  return { kind: 'match', end: place, captured };
};

/** The first alternative that matches; else `partial` while any still may. */
export const matchAny = (text: string, at: number, alternatives: readonly (readonly Step[])[]): Lookahead => {
  let best: Lookahead = NO;
  for (const steps of alternatives) {
    const found = matchSteps(text, at, steps);
    if (found.kind === 'match') return found;
    if (found.kind === 'partial') best = found;
  }
  return best;
};

/** Length of the longest end of `text` that is the beginning, but not the whole, of a pattern. */
export const partialSuffixLength = (text: string, patterns: readonly string[]): number => {
  let longest = 0;
  for (const pattern of patterns) {
    for (let length = Math.min(pattern.length - 1, text.length); length > longest; length -= 1) {
      if (text.endsWith(pattern.slice(0, length))) longest = length;
    }
  }
  return longest;
};
