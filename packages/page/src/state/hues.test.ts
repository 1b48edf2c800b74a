import { describe, expect, it } from 'vitest';
import { hashedHue, hueCount, huesOf } from './hues.ts';

describe('colours', () => {
  it('differ as long as there are enough of them', () => {
    const hues = huesOf(['e', 'b', 'a', 'd', 'c', 'f', 'a']);
    expect(new Set(hues.values()).size).toBe(hueCount);
    expect([...hues.keys()]).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  it('stay with their models when others come and go', () => {
    const first = huesOf(['coder', 'shapes']);
    const more = huesOf(['coder', 'poet', 'shapes'], first);
    expect([more.get('coder'), more.get('shapes')]).toEqual([first.get('coder'), first.get('shapes')]);
    expect(new Set(more.values()).size).toBe(3);
    const back = huesOf(['author', 'shapes'], huesOf(['poet'], more));
    expect(back.get('shapes')).toBe(first.get('shapes'));
    expect(back.get('author')).not.toBe(back.get('shapes'));
  });

  it('of other names stay the same', () => {
    expect(hashedHue('org/Model-7B')).toBe(hashedHue('org/Model-7B'));
    expect(hashedHue('')).toBe(0);
  });
});
