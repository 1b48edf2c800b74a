import { assert, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cellAlignment, planMemory, shortage, totalBytes, type MemoryLimits, type MemoryNeeds } from './memory-plan.ts';

const mb = 2 ** 20;

const needs = (rest: Partial<MemoryNeeds> = {}): MemoryNeeds => ({
  weightBytes: 1000 * mb,
  kvBytesPerToken: 64 * 1024,
  stateBytes: 100 * mb,
  towerBytes: 50 * mb,
  computeBytes: (context) => 20 * mb + context * 1024,
  ...rest,
});

const limits = (rest: Partial<MemoryLimits> = {}): MemoryLimits => ({
  freeBytes: 8192 * mb,
  contextMax: 32_768,
  kvTokens: null,
  nSlots: 4,
  kvShare: 1,
  ...rest,
});

describe('the memory plan', () => {
  it('gives each sequence the whole context where there is room for all of them', () => {
    const decision = planMemory(needs(), limits({ freeBytes: 16_384 * mb }));
    expect(decision).toMatchObject({ kind: 'fits', plan: { contextMax: 32_768, kvTokens: 4 * 32_768 } });
  });

  it('lets the cache have what the rest leaves', () => {
    const { plan } = planMemory(needs(), limits());
    expect(plan.contextMax).toBe(32_768);
    const left = 8192 * mb - totalBytes(plan.parts);
    expect(left).toBeGreaterThanOrEqual(0);
    expect(left).toBeLessThan(cellAlignment * 64 * 1024);
  });

  it('shortens the context where not even one sequence could have all of it', () => {
    const { plan } = planMemory(needs(), limits({ freeBytes: 2000 * mb }));
    expect(plan.contextMax).toBeLessThan(32_768);
    expect(plan.contextMax).toBeGreaterThan(10_000);
    expect(plan.kvTokens).toBeGreaterThanOrEqual(plan.contextMax);
  });

  it('holds to the tokens that the operator names, or says that they do not fit', () => {
    expect(planMemory(needs(), limits({ kvTokens: 10_000 }))).toMatchObject({
      kind: 'fits',
      plan: { kvTokens: 10_240, contextMax: 10_240 },
    });
    const decision = planMemory(needs(), limits({ kvTokens: 200_000 }));
    expect(decision.kind).toBe('short');
  });

  it('says what is needed by what, and what is free', () => {
    const decision = planMemory(needs(), limits({ freeBytes: 1024 * mb }));
    if (decision.kind === 'fits') throw new Error('it cannot fit');
    const error = shortage(decision, 'CUDA0');
    expect(error.code).toBe('insufficient_vram');
    expect(error.message).toBe(
      'CUDA0: 1187 MB are needed (weights 1000, KV cache 16 for 256 tokens, recurrent states 100, computing 21, ' +
        'images 50), 1024 MB are free',
    );
    expect(error.facts).toMatchObject({ needed_mb: 1187, free_mb: 1024, weights_mb: 1000, kv_mb: 16 });
  });

  it('keeps within the free memory and the model, and is short only when the least does not fit', () => {
    const size = integer({ min: 0, max: 4000 });
    assert(
      property(size, size, size, integer({ min: 1, max: 300_000 }), (free, weights, perContext, contextMax) => {
        const own = needs({ weightBytes: weights * mb, computeBytes: (context) => context * perContext });
        const decision = planMemory(own, limits({ freeBytes: free * mb, contextMax }));
        const { plan } = decision;
        expect(plan.contextMax).toBeLessThanOrEqual(Math.min(contextMax, plan.kvTokens));
        expect(plan.contextMax).toBeGreaterThan(0);
        expect(decision.kind === 'fits').toBe(totalBytes(plan.parts) <= free * mb);
        expect(decision.kind === 'fits' || plan.kvTokens === cellAlignment).toBe(true);
      }),
    );
  });
});
