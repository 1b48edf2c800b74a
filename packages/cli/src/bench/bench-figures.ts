/** From the times of single requests to what is reported of all of them. Pure. */

export interface RequestTimes {
  readonly promptTokens: number;
  /** Of the prompt, what was not computed anew. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly firstTokenMs: number;
  readonly totalMs: number;
}

interface Spread {
  readonly median: number;
  readonly p95: number;
  readonly min: number;
  readonly max: number;
}

export interface BenchFigures {
  readonly requests: number;
  readonly failed: number;
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  /** Wall time of all. */
  readonly duration_ms: number;
  /** Milliseconds from the request to its first token, queueing and prefill included. */
  readonly ttft_ms: Spread | null;
  /** Of one request: prompt tokens that were computed, over its time to the first token. */
  readonly prefill_tok_s: Spread | null;
  /** Of one request: tokens after the first, over the time after it. */
  readonly decode_tok_s: Spread | null;
  /** Of all requests together. */
  readonly completion_tok_s_total: number;
}

/** The value below which this share of them lies, the nearest one that was measured. */
const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1))] ?? Number.NaN;

const spreadOf = (values: readonly number[]): Spread | null => {
  const sorted = values.filter(Number.isFinite).toSorted((a, b) => a - b);
  if (sorted.length === 0) return null;
  return {
    median: quantile(sorted, 0.5),
    p95: quantile(sorted, 0.95),
    min: quantile(sorted, 0),
    max: quantile(sorted, 1),
  };
};

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

export const benchFigures = (times: readonly RequestTimes[], failed: number, durationMs: number): BenchFigures => {
  const completionTokens = sum(times.map((one) => one.completionTokens));
  return {
    requests: times.length + failed,
    failed,
    prompt_tokens: sum(times.map((one) => one.promptTokens)),
    completion_tokens: completionTokens,
    duration_ms: durationMs,
    ttft_ms: spreadOf(times.map((one) => one.firstTokenMs)),
    prefill_tok_s: spreadOf(
      times
        .map((one) => ((one.promptTokens - one.cachedTokens) / one.firstTokenMs) * 1000)
        .filter((value) => value > 0),
    ),
    decode_tok_s: spreadOf(
      times
        .filter((one) => one.completionTokens > 1)
        .map((one) => ((one.completionTokens - 1) / (one.totalMs - one.firstTokenMs)) * 1000),
    ),
    completion_tok_s_total: durationMs > 0 ? (completionTokens / durationMs) * 1000 : 0,
  };
};
