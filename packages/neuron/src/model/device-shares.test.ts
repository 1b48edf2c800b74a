import { describe, expect, it } from 'vitest';
import { chooseShares, type SharedPlan } from './device-shares.ts';
import { planShared, type MemoryNeeds } from './memory-plan.ts';

const limits = { contextMax: 512, kvTokens: null, nSlots: 1, kvShare: 1 };

/** 1000 bytes of weights and one a token are dealt out in tenths, 50 more are on every device. */
const planned = (free: readonly number[]) => {
  const asked: (readonly number[])[] = [];
  const plan = (shares: readonly number[]): SharedPlan & { readonly tenths: readonly number[] } => {
    const sum = shares.reduce((total, share) => total + share, 0);
    const [first = 0] = shares.map((share) => Math.max(1, Math.min(9, Math.round((10 * share) / sum))));
    const tenths = [first, 10 - first];
    asked.push(shares);
    const needs = tenths.map((n): MemoryNeeds => ({
      weightBytes: 30 + 100 * n,
      kvBytesPerToken: n / 10,
      stateBytes: 0,
      towerBytes: 0,
      computeBytes: () => 20,
    }));
    return { tenths, decisions: planShared(needs, limits, free), mirroredBytes: [30, 30] };
  };
  const { tenths, decisions } = chooseShares(free, limits, plan);
  const context = Math.min(...decisions.map((decision) => decision.plan.contextMax));
  return { tenths, kinds: decisions.map(({ kind }) => kind), context, nAsked: asked.length };
};

describe('the shares of devices', () => {
  it('are alike where everything fits so, however much more one has', () => {
    expect(planned([900, 5000])).toEqual({ tenths: [5, 5], kinds: ['fits', 'fits'], context: 512, nAsked: 1 });
  });

  it('follow the free memory where it would not fit otherwise, or only with a shorter context', () => {
    // 50 and 151 for each tenth.
    expect(planned([510, 5000])).toMatchObject({ tenths: [3, 7], kinds: ['fits', 'fits'], context: 512 });
    expect(planned([690, 1500])).toMatchObject({ tenths: [4, 6], kinds: ['fits', 'fits'], context: 512 });
    expect(planned([1500, 300])).toMatchObject({ tenths: [9, 1], kinds: ['fits', 'fits'], context: 512 });
    // Room for no more than half of the context, and for that on both.
    expect(planned([600, 830])).toMatchObject({ tenths: [4, 6], kinds: ['fits', 'fits'], context: 256 });
  });

  it('are alike where nothing helps', () => {
    expect(planned([400, 500])).toMatchObject({ tenths: [5, 5], kinds: ['short', 'short'] });
    expect(planned([0, 0])).toMatchObject({ tenths: [5, 5], kinds: ['short', 'short'] });
  });
});
