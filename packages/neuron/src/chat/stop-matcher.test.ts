import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StopMatcher } from './stop-matcher.ts';

/** Feeds the pieces until a stop; the text released and the stop found. */
const run = (stops: readonly string[], pieces: readonly string[]): { text: string; stop: string | null } => {
  const matcher = new StopMatcher(stops);
  let text = '';
  for (const piece of pieces) {
    const step = matcher.push(piece);
    text += step.text;
    if (step.stop !== undefined) return { text, stop: step.stop.matched };
  }
  return { text: text + matcher.flush(), stop: null };
};

/** The same by definition: after every character, is a stop the end of what was read? */
const reference = (stops: readonly string[], text: string): { text: string; stop: string | null } => {
  for (let end = 1; end <= text.length; end += 1) {
    const ended = stops.filter((stop) => stop !== '' && text.slice(0, end).endsWith(stop));
    const longest = ended.toSorted((a, b) => b.length - a.length)[0];
    if (longest !== undefined) return { text: text.slice(0, end - longest.length), stop: longest };
  }
  return { text, stop: null };
};

const letters = (max: number) => fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: max });

describe('stop strings', () => {
  it('release the text before the stop and nothing after it', () => {
    expect(run(['END'], ['one EN', 'D two'])).toEqual({ text: 'one ', stop: 'END' });
  });

  it('report what followed the stop in the same piece', () => {
    expect(new StopMatcher(['\n']).push('a\nb')).toEqual({ text: 'a', stop: { matched: '\n', rest: 'b' } });
  });

  it('are found across many pieces', () => {
    expect(run(['\n\nUser:'], ['hi\n', '\n', 'Us', 'er', ':', ' x'])).toEqual({ text: 'hi', stop: '\n\nUser:' });
  });

  it('hold back only what may become a stop', () => {
    const matcher = new StopMatcher(['abc', 'bd']);
    expect(matcher.push('xab')).toEqual({ text: 'x' });
    expect(matcher.push('b')).toEqual({ text: 'ab' });
    expect(matcher.push('x')).toEqual({ text: 'bx' });
    expect(matcher.flush()).toBe('');
  });

  it('release a held beginning at the end', () => {
    expect(run(['abc'], ['xab'])).toEqual({ text: 'xab', stop: null });
  });

  it('that are empty never match', () => {
    expect(run([''], ['abc'])).toEqual({ text: 'abc', stop: null });
  });

  it('win by completing first, and by length when they complete together', () => {
    expect(run(['abcd', 'bc'], ['abcd'])).toEqual({ text: 'a', stop: 'bc' });
    expect(run(['bc', 'abc'], ['abcd'])).toEqual({ text: '', stop: 'abc' });
  });

  it('give the same for every way of cutting the text', () => {
    fc.assert(
      fc.property(fc.array(letters(4), { maxLength: 4 }), fc.array(letters(5), { maxLength: 12 }), (stops, pieces) => {
        expect(run(stops, pieces)).toEqual(reference(stops, pieces.join('')));
      }),
      { numRuns: 800 },
    );
  });

  it('never hold back more than the longest stop but one character', () => {
    fc.assert(
      fc.property(fc.array(letters(4), { maxLength: 4 }), letters(30), (stops, text) => {
        const matcher = new StopMatcher(stops);
        const step = matcher.push(text);
        if (step.stop !== undefined) return;
        const held = text.slice(step.text.length);
        expect(held === '' || stops.some((stop) => stop !== held && stop.startsWith(held))).toBe(true);
      }),
    );
  });
});
