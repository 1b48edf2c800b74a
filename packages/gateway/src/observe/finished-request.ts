/** What a request came to, as the page shows it: the log line's facts with the rate, and nothing of what was said. */
import { decodeRate, outcomeOf, type RequestOutcome, type RequestRecord } from '../proxy/exchange.ts';
import type { LiveIdentity } from './live-requests.ts';

export interface FinishedRequest {
  readonly id: string;
  readonly dialect: string;
  readonly client: string;
  /** Null: it was refused before its body was read. */
  readonly asked: string | null;
  readonly model: string | null;
  readonly node: string | null;
  readonly stream: boolean;
  readonly outcome: RequestOutcome;
  readonly status: number;
  readonly error: { readonly code: string; readonly message: string } | null;
  /** Milliseconds since 1970. */
  readonly ended_at: number;
  readonly duration_ms: number;
  readonly attempts: number;
  readonly cold_start: boolean;
  readonly queue_ms: number;
  readonly load_ms: number;
  readonly prefill_ms: number | null;
  readonly ttft_ms: number | null;
  readonly prompt_tokens: number | null;
  readonly cached_tokens: number | null;
  readonly completion_tokens: number | null;
  readonly tok_s: number | null;
}

export const finishedRequest = (
  identity: LiveIdentity,
  record: RequestRecord,
  durationMs: number,
  endedAt: number,
): FinishedRequest => {
  const { error, tokens } = record;
  return {
    id: identity.id,
    dialect: identity.dialect,
    client: identity.client,
    asked: record.asked === null ? null : record.asked.slice(0, 256),
    model: record.model,
    node: record.node,
    stream: record.streams,
    outcome: outcomeOf(record),
    status: record.status,
    error: error === null ? null : { code: error.code, message: error.message },
    ended_at: endedAt,
    duration_ms: durationMs,
    attempts: record.nAttempts,
    cold_start: record.coldStart,
    queue_ms: record.queueMs,
    load_ms: record.loadMs,
    prefill_ms: record.prefillMs,
    ttft_ms: record.firstTokenMs,
    prompt_tokens: tokens?.prompt ?? null,
    cached_tokens: tokens?.cachedPrompt ?? null,
    completion_tokens: tokens?.completion ?? null,
    tok_s: decodeRate(tokens?.completion ?? 0, record.decodeMs),
  };
};
