/** One log line for each request, with what is needed to answer "why was this slow" and nothing of what was said. */
import type { RequestRecord } from '../proxy/exchange.ts';

export interface LogIdentity {
  readonly requestId: string;
  readonly method: string;
  readonly route: string;
  /** Name of the key or address. */
  readonly client: string;
}

const ms = (value: number): number => Math.round(value * 10) / 10;

const inferenceFields = (record: RequestRecord): Record<string, unknown> => ({
  asked: record.asked?.slice(0, 256),
  model: record.model,
  node: record.node,
  stream: record.streams,
  attempts: record.nAttempts,
  coldStart: record.coldStart,
  queueMs: ms(record.queueMs),
  loadMs: ms(record.loadMs),
  ...(record.prefillMs === null ? {} : { prefillMs: ms(record.prefillMs) }),
  ...(record.firstTokenMs === null ? {} : { ttftMs: ms(record.firstTokenMs) }),
  ...(record.tokens === null
    ? {}
    : {
        promptTokens: record.tokens.prompt,
        cachedTokens: record.tokens.cachedPrompt,
        completionTokens: record.tokens.completion,
      }),
});

export const requestLine = (
  identity: LogIdentity,
  record: RequestRecord,
  durationMs: number,
): Readonly<Record<string, unknown>> => ({
  ...identity,
  status: record.status,
  outcome: record.error === null ? 'done' : record.error.code === 'client_closed_request' ? 'cancelled' : 'error',
  durationMs: ms(durationMs),
  ...(record.asked === null ? {} : inferenceFields(record)),
  ...(record.error === null ? {} : { code: record.error.code, reason: record.error.message }),
});
