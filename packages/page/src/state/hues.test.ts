import { describe, expect, it } from 'vitest';
import { hashedHue, hueCount, huesOf } from './hues.ts';

describe('colours', () => {
  it('differ as long as there are enough of them', () => {
    const hues = huesOf(['e', 'b', 'a', 'd', 'c', 'f', 'a']);
    expect(new Set(hues.values()).size).toBe(hueCount);
    expect([...hues.keys()]).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  it('of other names stay the same', () => {
    expect(hashedHue('org/Model-7B')).toBe(hashedHue('org/Model-7B'));
    expect(hashedHue('')).toBe(0);
  });
});
