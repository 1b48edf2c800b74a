import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseDrops } from './choose-drops.ts';

const item = (nBytes: number, usedAt: number) => ({ nBytes, usedAt });

describe('chooseDrops', () => {
  it('drops nothing where there is room', () => {
    expect(chooseDrops([item(5, 1)], item(5, 2), 10)).toEqual([]);
  });

  it('drops the least recently used, and no more than it must', () => {
    const items = [item(4, 3), item(4, 1), item(4, 2)];
    expect(chooseDrops(items, item(3, 9), 12)).toEqual([item(4, 1)]);
    // The small one alone makes too little room, the large one behind it enough.
    expect(chooseDrops([item(1, 1), item(9, 2)], item(8, 3), 10)).toEqual([item(9, 2)]);
  });

  it('keeps what was used later than what comes', () => {
    expect(chooseDrops([item(9, 5)], item(2, 4), 10)).toBeNull();
  });

  it('has no room for what is larger than the budget', () => {
    expect(chooseDrops([item(9, 1)], item(11, 2), 10)).toBeNull();
    expect(chooseDrops([], item(1, 1), 0)).toBeNull();
  });

  it('makes room exactly where it can be made, and spares what it can', () => {
    const one = fc.record({ nBytes: fc.integer({ min: 1, max: 20 }), usedAt: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(one), one, fc.nat(100), (items, incoming, bytesMax) => {
        const drops = chooseDrops(items, incoming, bytesMax);
        const left = (gone: readonly object[]): number =>
          items.filter((each) => !gone.includes(each)).reduce((sum, { nBytes }) => sum + nBytes, incoming.nBytes);
        expect(drops === null).toBe(left(items.filter(({ usedAt }) => usedAt <= incoming.usedAt)) > bytesMax);
        if (drops === null) return;
        expect(drops.every(({ usedAt }) => usedAt <= incoming.usedAt)).toBe(true);
        expect(left(drops)).toBeLessThanOrEqual(bytesMax);
        for (const drop of drops) expect(left(drops.filter((each) => each !== drop))).toBeGreaterThan(bytesMax);
      }),
    );
  });
});
