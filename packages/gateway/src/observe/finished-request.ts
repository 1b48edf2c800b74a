/** What a request came to, as the page shows it: the log line's facts with the rate, and nothing of what was said. */
import type { FinishedRequest } from '@cortex/core';
import { decodeRate, outcomeOf, type RequestRecord } from '../proxy/exchange.ts';
import type { LiveIdentity } from './live-requests.ts';

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
