import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkPace } from './chunk-pace.ts';

describe('a pace of chunks', () => {
  it('is small until something has been measured', () => {
    expect(new ChunkPace(100).nTokens).toBe(32);
  });

  it.each([0.01, 1, 4])('makes steps of about the length asked for, at %d ms a token', (msPerToken) => {
    const pace = new ChunkPace(100);
    for (let i = 0; i < 20; i++) pace.note(pace.nTokens, 2 * (i < 5 ? 1 : 0) * msPerToken + pace.nTokens * msPerToken);
    expect(pace.nTokens * msPerToken).toBeGreaterThan(80);
    expect(pace.nTokens * msPerToken).toBeLessThanOrEqual(101);
  });

  it('follows a prompt whose tokens take longer the more there are before them', () => {
    const pace = new ChunkPace(100);
    for (let done = 0; done < 4000; done += pace.nTokens) pace.note(pace.nTokens, pace.nTokens * (1 + done / 1000));
    expect(pace.nTokens).toBeLessThan(30);
    expect(pace.nTokens).toBeGreaterThanOrEqual(20);
  });

  it('never stands still, and is no nonsense for steps too short to measure', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 512 }), fc.float({ min: 0, max: 1e6, noNaN: true }))),
        (steps) => {
          const pace = new ChunkPace(100);
          for (const [nTokens, ms] of steps) pace.note(nTokens, ms);
          expect(pace.nTokens).toBeGreaterThanOrEqual(8);
          expect(Number.isNaN(pace.nTokens)).toBe(false);
        },
      ),
    );
  });
});
