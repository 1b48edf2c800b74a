import { describe, expect, it } from 'vitest';
import { matchAny, matchSteps, partialSuffixLength, SPACE, type Step } from './output-lookahead.ts';

const head: readonly Step[] = ['<f=', { capture: /[^<>\n]/ }, '>', SPACE, '{'];

describe('matching steps in growing text', () => {
  it('matches, with what was captured and where it ended', () => {
    expect(matchSteps('x<f=name>\n {y', 1, head)).toEqual({ kind: 'match', end: 12, captured: ['name'] });
  });

  it('is undecided at every beginning of a match and refuses everything else', () => {
    const whole = '<f=name> {';
    for (let length = 0; length < whole.length; length += 1) {
      expect(matchSteps(whole.slice(0, length), 0, head).kind).toBe('partial');
    }
    for (const other of ['<g', '<f=>', '<f=a\n', '<f=a>x']) expect(matchSteps(other, 0, head).kind).toBe('no');
  });

  it('gives up on a name without end, so that it cannot hold text back for ever', () => {
    expect(matchSteps(`<f=${'a'.repeat(300)}`, 0, head).kind).toBe('no');
  });

  it('takes the first alternative that matches and waits while one may', () => {
    expect(matchAny('ab', 0, [['abc'], ['ab']])).toMatchObject({ kind: 'match', end: 2 });
    expect(matchAny('ab', 0, [['abc'], ['x']]).kind).toBe('partial');
    expect(matchAny('ab', 0, [['b'], ['x']]).kind).toBe('no');
  });
});

describe('the end of a text that may grow into a pattern', () => {
  it('is the longest proper beginning of any pattern', () => {
    expect(partialSuffixLength('xxab', ['abc', 'xabd'])).toBe(3);
    expect(partialSuffixLength('abc', ['abc'])).toBe(0);
    expect(partialSuffixLength('', ['abc'])).toBe(0);
  });
});
