import { describe, expect, it } from 'vitest';
import { benchLines } from '../commands/bench.ts';
import { benchFigures } from './bench-figures.ts';

const times = (firstTokenMs: number) => ({
  promptTokens: 100,
  cachedTokens: 20,
  completionTokens: 11,
  firstTokenMs,
  totalMs: firstTokenMs + 1000,
});

describe('the figures of a benchmark', () => {
  const figures = benchFigures([times(100), times(400), times(200)], 1, 2000);

  it('count what was computed: cached tokens are not prefill, the first token is not decode', () => {
    expect(figures).toMatchObject({ requests: 4, failed: 1, prompt_tokens: 300, completion_tokens: 33 });
    expect(figures.ttft_ms).toEqual({ median: 200, p95: 400, min: 100, max: 400 });
    expect(figures.prefill_tok_s?.median).toBe(400);
    expect(figures.decode_tok_s).toEqual({ median: 10, p95: 10, min: 10, max: 10 });
    expect(figures.completion_tok_s_total).toBe(16.5);
  });

  it('are a table, without rows that nothing was measured for', () => {
    expect(benchLines(figures)).toEqual([
      '                 MEDIAN    P95    MIN    MAX',
      'first token, ms   200.0  400.0  100.0  400.0',
      'prefill, tok/s    400.0  800.0  200.0  800.0',
      'decode, tok/s      10.0   10.0   10.0   10.0',
      '',
      '4 requests in 2.0 s, 1 failed; 300 prompt and 33 answer tokens; 16.5 tok/s together',
    ]);
    const one = benchFigures([{ ...times(100), completionTokens: 1 }], 0, 100);
    expect(benchLines(one).some((line) => line.startsWith('decode'))).toBe(false);
    expect(benchFigures([], 2, 10).ttft_ms).toBeNull();
  });
});
