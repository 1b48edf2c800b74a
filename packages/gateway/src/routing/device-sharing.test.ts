import { sharedMb, type Sharing } from '@cortex/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dealSharing } from './device-sharing.ts';

const sharing: Sharing = {
  each_mb: 100,
  first_mb: 300,
  parts: [
    { name: 'key/value heads', count: 4, mb: 200 },
    { name: 'columns', count: 100, mb: 20 },
  ],
};

const sharingArb: fc.Arbitrary<Sharing> = fc.record({
  each_mb: fc.nat(500),
  first_mb: fc.nat(500),
  parts: fc.array(
    fc.record({
      name: fc.constant('pieces'),
      count: fc.integer({ min: 1, max: 200 }),
      mb: fc.integer({ min: 1, max: 300 }),
    }),
    { maxLength: 3 },
  ),
});
const freeArb = fc.array(fc.integer({ min: 0, max: 30_000 }), { minLength: 2, maxLength: 5 });

const sum = (all: readonly number[]): number => all.reduce((total, n) => total + n, 0);

describe('memory of devices that share a model', () => {
  it('is alike but for the tower where there is room', () => {
    expect(dealSharing([9000, 9000], 0, sharing)).toEqual([1800, 1500]);
  });

  it('follows what is free where there is not', () => {
    // One head of four, and as many columns as then fit.
    const [first = 0, second = 0] = dealSharing([1000, 9000], 0, sharing) ?? [];
    expect(first).toBeLessThanOrEqual(1000);
    expect(first).toBeGreaterThan(800);
    expect(first + second).toBe(3300);
  });

  it('is divided in any way where nothing is known, and takes what a load was once refused for', () => {
    expect(dealSharing([1000, 9000], 3000, null)?.map(Math.round)).toEqual([1000, 2000]);
    expect(sum(dealSharing([9000, 9000], 4000, sharing) ?? [])).toBeCloseTo(4000);
    expect(dealSharing([2000, 1900], 4000, sharing)).toBeNull();
  });

  it('is never more than is free, is all that is needed, and is found where pieces are small against the rooms', () => {
    fc.assert(
      fc.property(sharingArb, freeArb, (one, free) => {
        const dealt = dealSharing(free, 0, one);
        const n = free.length;
        const ownMb = (i: number): number => one.each_mb + (i === 0 ? one.first_mb : 0);
        const steps = 2 * sum(one.parts.map(({ mb }) => mb));
        const rooms = free.map((mb, i) => mb - ownMb(i) - steps);
        const isRoomy =
          rooms.every((mb) => mb >= 8 * steps) && sum(rooms) >= sum(one.parts.map(({ count, mb }) => count * mb));
        const mustFit = isRoomy && one.parts.every(({ count }) => count >= n);
        expect(dealt === null && mustFit).toBe(false);
        expect(dealt?.every((mb, i) => mb >= ownMb(i) && mb <= (free[i] ?? 0)) ?? true).toBe(true);
        expect(sum(dealt ?? [])).toBeCloseTo(dealt === null ? 0 : sharedMb(one, n), 3);
      }),
      { numRuns: 2000 },
    );
  });
});
