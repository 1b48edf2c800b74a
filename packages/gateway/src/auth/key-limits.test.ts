import { describe, expect, it } from 'vitest';
import type { KeyConfig } from '@cortex/core';
import { KeyLimits } from './key-limits.ts';

const key = (limits: Partial<KeyConfig>): KeyConfig => ({ name: 'k', hash: '', admin: false, priority: 0, ...limits });

const limitsAt = (): { limits: KeyLimits; at: (ms: number) => void } => {
  let nowMs = 0;
  return {
    limits: new KeyLimits(() => nowMs),
    at: (ms) => {
      nowMs = ms;
    },
  };
};

describe('KeyLimits', () => {
  it('lets a key without limits and a caller without a key do anything', () => {
    const { limits } = limitsAt();
    for (let i = 0; i < 100; i += 1) limits.admit(key({}), 1e9).end(1e9);
    expect(() => limits.admit(null, 1e9)).not.toThrow();
  });

  it('counts requests at once, each until it has ended, and each end once', () => {
    const { limits } = limitsAt();
    const two = key({ max_concurrent: 2 });
    const first = limits.admit(two, 1);
    limits.admit(two, 1);
    expect(() => limits.admit(two, 1)).toThrow(/2 requests at once/);
    first.end(0);
    first.end(0);
    limits.admit(two, 1);
    expect(() => limits.admit(two, 1)).toThrow(/2 requests at once/);
  });

  it('refills a minute’s budget steadily and says when there is something again', () => {
    const { limits, at } = limitsAt();
    const tight = key({ tokens_per_minute: 60 });
    limits.admit(tight, 10).end(90);
    const refused = (): unknown => {
      try {
        limits.admit(tight, 10);
        return null;
      } catch (error) {
        return error;
      }
    };
    // 30 in debt at one token a second.
    expect(refused()).toMatchObject({ code: 'rate_limit_exceeded', retryAfterSecs: 31 });
    at(30_000);
    expect(refused()).toMatchObject({ retryAfterSecs: 1 });
    at(31_000);
    expect(refused()).toBeNull();
  });

  it('never holds more than one period’s worth', () => {
    const { limits, at } = limitsAt();
    const tight = key({ tokens_per_day: 100 });
    limits.admit(tight, 1).end(1);
    at(30 * 86_400_000);
    limits.admit(tight, 1).end(100);
    expect(() => limits.admit(tight, 1)).toThrow(/100 tokens a day/);
  });

  it('takes what is certain at once, so that requests of one moment count against each other', () => {
    const { limits } = limitsAt();
    const tight = key({ tokens_per_minute: 100 });
    limits.admit(tight, 100);
    expect(() => limits.admit(tight, 1)).toThrow(/100 tokens a minute/);
  });
});
