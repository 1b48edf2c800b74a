import { describe, expect, it } from 'vitest';
import type { FinishedRequest } from '@cortex/core';
import { steadyRate, tokenText, waitText, whereItWent } from './request-texts.ts';

const request = (changes: Partial<FinishedRequest>): FinishedRequest =>
  ({ queue_ms: 0, load_ms: 0, prefill_ms: null, attempts: 1, cached_tokens: null, ...changes }) as FinishedRequest;

describe('the texts of a request', () => {
  it('tell where the time before the first token went', () => {
    expect(whereItWent(request({ queue_ms: 3, load_ms: 2100, prefill_ms: 80, attempts: 2 }))).toBe(
      'queue 3 ms, load 2.10 s, prefill 80 ms, 2 nodes tried',
    );
    expect(whereItWent(request({ queue_ms: 0.2 }))).toBe('');
  });

  it('tell its tokens', () => {
    expect(tokenText(request({ prompt_tokens: 1412, cached_tokens: 380, completion_tokens: 96 }))).toBe(
      '1,412 (380 cached) → 96',
    );
    expect(tokenText(request({ prompt_tokens: 4, cached_tokens: 0, completion_tokens: 1 }))).toBe('4 → 1');
    expect(tokenText(request({ prompt_tokens: null }))).toBe('–');
  });

  it('tell no speed of what came in one delivery', () => {
    expect(steadyRate(request({ duration_ms: 90, ttft_ms: 89.7, tok_s: 31_709 }))).toBe(null);
    expect(steadyRate(request({ duration_ms: 190, ttft_ms: 90, tok_s: 100 }))).toBe(100);
    expect(steadyRate(request({ duration_ms: 190, ttft_ms: null, tok_s: null }))).toBe(null);
  });

  it('tell what it waits for, as long as it waits', () => {
    const loading = { kind: 'loading', node: 'beast', fraction: 0.4, etaSecs: 2.2 } as const;
    expect(waitText({ wait: { kind: 'queued', position: 3 }, phase: 'queued' })).toBe('place 3');
    expect(waitText({ wait: loading, phase: 'loading' })).toBe('40 % on beast, 3 s left');
    expect(waitText({ wait: { ...loading, etaSecs: null }, phase: 'loading' })).toBe('40 % on beast');
    expect(waitText({ wait: loading, phase: 'decoding' })).toBe('');
    expect(waitText({ wait: null, phase: 'queued' })).toBe('');
  });
});
