import { describe, expect, it } from 'vitest';
import { viewOf } from './view.ts';

describe('the view of an address', () => {
  it.each([
    ['', 'fleet'],
    ['#/requests', 'requests'],
    ['#/playground', 'playground'],
    ['#/nope', 'fleet'],
    ['#main', 'fleet'],
  ])('%s is %s', (hash, view) => {
    expect(viewOf(hash)).toBe(view);
  });
});
