import { describe, expect, it } from 'vitest';
import { Ring } from './ring.ts';

describe('a ring', () => {
  it('keeps the last so many, oldest first', () => {
    const ring = new Ring<number>(3);
    for (const n of [1, 2, 3, 4, 5]) ring.push(n);
    expect(ring.snapshot()).toEqual([3, 4, 5]);
  });

  it('is also bounded by weight, and tells of an item too heavy to keep', () => {
    const ring = new Ring<string>(10, 6, (text) => text.length);
    const heard: string[] = [];
    ring.subscribe((text) => heard.push(text));
    for (const text of ['abc', 'def', 'g', 'much too long', 'x']) ring.push(text);
    expect(ring.snapshot()).toEqual(['x']);
    expect(heard).toEqual(['abc', 'def', 'g', 'much too long', 'x']);
  });

  it('hands out copies', () => {
    const ring = new Ring<number>(3);
    ring.push(1);
    const before = ring.snapshot();
    ring.push(2);
    expect(before).toEqual([1]);
  });

  it('tells each listener until it unsubscribes', () => {
    const ring = new Ring<number>(3);
    const heard: number[] = [];
    const listener = (n: number): void => void heard.push(n);
    const stop = ring.subscribe(listener);
    ring.subscribe(listener);
    ring.push(1);
    stop();
    stop();
    ring.push(2);
    expect(heard).toEqual([1, 1, 2]);
  });

  it('drops a listener that throws, and tells the others', () => {
    const ring = new Ring<number>(3);
    const heard: number[] = [];
    let nThrown = 0;
    ring.subscribe(() => {
      nThrown += 1;
      throw new Error('gone');
    });
    ring.subscribe((n) => heard.push(n));
    ring.push(1);
    ring.push(2);
    expect([nThrown, heard]).toEqual([1, [1, 2]]);
  });
});
