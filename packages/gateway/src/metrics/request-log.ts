/** One log line for each request, with what is needed to answer "why was this slow" and nothing of what was said. */
import { outcomeOf, type RequestRecord } from '../proxy/exchange.ts';

export interface LogIdentity {
  readonly requestId: string;
  readonly method: string;
  readonly route: string;
  /** Name of the key or address. */
  readonly client: string;
}

const ms = (value: number): number => Math.round(value * 10) / 10;

type Line = Record<string, unknown>;

const addInference = (line: Line, record: RequestRecord): void => {
  line['asked'] = record.asked?.slice(0, 256);
  line['model'] = record.model;
  line['node'] = record.node;
  line['stream'] = record.streams;
  line['attempts'] = record.nAttempts;
  line['coldStart'] = record.coldStart;
  line['queueMs'] = ms(record.queueMs);
  line['loadMs'] = ms(record.loadMs);
  if (record.prefillMs !== null) line['prefillMs'] = ms(record.prefillMs);
  if (record.firstTokenMs !== null) line['ttftMs'] = ms(record.firstTokenMs);
  if (record.tokens === null) return;
  line['promptTokens'] = record.tokens.prompt;
  line['cachedTokens'] = record.tokens.cachedPrompt;
  line['completionTokens'] = record.tokens.completion;
};

export const requestLine = (identity: LogIdentity, record: RequestRecord, durationMs: number): Readonly<Line> => {
  const { error } = record;
  const line: Line = {
    requestId: identity.requestId,
    method: identity.method,
    route: identity.route,
    client: identity.client,
    status: record.status,
    outcome: outcomeOf(record),
    durationMs: ms(durationMs),
  };
  if (record.asked !== null) addInference(line, record);
  if (error !== null) {
    line['code'] = error.code;
    line['reason'] = error.message;
  }
  return line;
};
