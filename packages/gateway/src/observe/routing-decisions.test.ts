import { describe, expect, it } from 'vitest';
import type { Candidate, RouteExplanation } from '@cortex/core';
import { RoutingDecisions } from './routing-decisions.ts';

const explanation = (candidates: readonly Candidate[]): RouteExplanation => ({
  model: 'm',
  resolvedModel: 'm',
  action: 'forward',
  chosen: 'z',
  evictions: [],
  candidates,
  error: null,
});

describe('wording of routing decisions', () => {
  it('takes at most three thousandths of the time', () => {
    let nowMs = 0;
    let nWorded = 0;
    const decisions = new RoutingDecisions(() => nowMs);
    for (let i = 0; i < 10_000; i += 1) {
      decisions.explain(() => {
        nWorded += 1;
        nowMs += 2;
        return explanation([]);
      });
      nowMs += 1;
    }
    const savedMs = 100;
    expect(nWorded * 2).toBeLessThanOrEqual(savedMs + nowMs * 0.0033);
    expect(nWorded).toBeGreaterThan(55);
  });

  it('is not wanting in a burst after a quiet time', () => {
    let nowMs = 0;
    const decisions = new RoutingDecisions(() => nowMs);
    const burst = (): number =>
      Array.from({ length: 60 }, () =>
        decisions.explain(() => {
          nowMs += 2;
          return explanation([]);
        }),
      ).filter((worded) => worded !== null).length;
    expect(burst()).toBe(51);
    expect(burst()).toBe(0);
    nowMs += 40_000;
    expect(burst()).toBe(51);
  });

  it('keeps the chosen node of very many', () => {
    const rejected = Array.from({ length: 1000 }, (_, i): Candidate => ({
      node: `n${i}`,
      verdict: 'rejected',
      reason: 'no vision',
    }));
    const chosen: Candidate = { node: 'z', verdict: 'chosen', reason: 'model loaded' };
    const { candidates = [] } = new RoutingDecisions(() => 0).explain(() => explanation([...rejected, chosen])) ?? {};
    expect(candidates[0]).toEqual(chosen);
    expect(candidates).toHaveLength(64);
  });
});
