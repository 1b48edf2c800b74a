import { describe, expect, it } from 'vitest';
import { assert, property, string } from 'fast-check';
import { editDistance, nearestKey } from './nearest-key.ts';

describe('editDistance', () => {
  it('counts insertions, deletions, replacements and swaps of neighbours as one each', () => {
    expect(editDistance('port', 'prot')).toBe(1);
    expect(editDistance('port', 'ports')).toBe(1);
    expect(editDistance('port', 'part')).toBe(1);
    expect(editDistance('', 'abc')).toBe(3);
  });

  it('is symmetric, and zero only for equal words', () => {
    assert(
      property(string({ maxLength: 8 }), string({ maxLength: 8 }), (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
      }),
    );
  });
});

describe('nearestKey', () => {
  it.each([
    ['listne', 'listen'],
    ['model-dirs', 'model_dirs'],
    ['modeldir', 'model_dirs'],
    ['body_limit', 'body_limit_mb'],
  ])('%s is taken for %s', (typed, meant) => {
    expect(nearestKey(typed, ['listen', 'port', 'model_dirs', 'body_limit_mb'])).toBe(meant);
  });

  it('names nothing rather than something unlike', () => {
    expect(nearestKey('temperature', ['listen', 'port'])).toBeNull();
  });
});
