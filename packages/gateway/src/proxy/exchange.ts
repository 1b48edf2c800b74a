/** One request on its way through the proxy: what came in, whom it is for, and what was learnt of it on the way. */
import type { IncomingHttpHeaders } from 'node:http';
import type { CortexError, RequestOutcome } from '@cortex/core';
import type { Caller } from '../auth/key-ring.ts';
import type { WaitProgress } from '../fleet/contract.ts';
import type { Dialect, Translation } from '../translate/contract.ts';
import type { ClientReply } from './client-reply.ts';
import type { RequestFacts } from './request-facts.ts';
import type { TokenCounts } from './stream-tap.ts';

export interface Exchange {
  readonly requestId: string;
  readonly dialect: Dialect;
  readonly caller: Caller;
  readonly headers: IncomingHttpHeaders;
  readonly reply: ClientReply;
  /** The client's body as it came; a passthrough sends these bytes on. */
  readonly rawBody: Buffer;
  readonly translation: Translation;
  readonly facts: RequestFacts;
  /** Nodes that are gateways it has come through already. */
  readonly passedNodes: ReadonlySet<string>;
  readonly streams: boolean;
  readonly record: RequestRecord;
}

/** A streamed answer so far. */
export interface StreamProgress {
  /** On the monotonic clock; null before the first piece of answer. */
  readonly firstTokenMs: number | null;
  readonly decodeMs: number;
  readonly tokens: TokenCounts;
}

/** What a request came to, for metrics and its log line. Written by the proxy alone, read when the request has ended. */
export interface RequestRecord {
  readonly startedMs: number;
  /** Only inference is counted by the metrics. */
  inference: boolean;
  /** Held in memory for it. */
  bodyBytes: number;
  /** Resolves when nothing here changes any more; null: nothing is under way. Never rejects. */
  work: Promise<void> | null;
  /** The model as the client wrote it; null while the body has not been read. */
  asked: string | null;
  /** Where it was resolved to; null: no such model, so that made-up names make no metric series. */
  model: string | null;
  node: string | null;
  streams: boolean;
  nAttempts: number;
  /** A node has it: granted, and neither failed nor given back. */
  atNode: boolean;
  /** What it waits for while no node has it. */
  wait: WaitProgress | null;
  /** Of the current attempt; null when it does not stream. */
  progress: StreamProgress | null;
  coldStart: boolean;
  /** Milliseconds; of all attempts together. */
  queueMs: number;
  loadMs: number;
  /** From the node's being asked to its first piece of answer, of the last attempt; null: none came. */
  prefillMs: number | null;
  /** From the request's arrival to the first piece of answer. */
  firstTokenMs: number | null;
  decodeMs: number;
  tokens: TokenCounts | null;
  status: number;
  error: CortexError | null;
}

export const newRecord = (startedMs: number): RequestRecord => ({
  startedMs,
  inference: false,
  bodyBytes: 0,
  work: null,
  asked: null,
  model: null,
  node: null,
  streams: false,
  nAttempts: 0,
  atNode: false,
  wait: null,
  progress: null,
  coldStart: false,
  queueMs: 0,
  loadMs: 0,
  prefillMs: null,
  firstTokenMs: null,
  decodeMs: 0,
  tokens: null,
  status: 0,
  error: null,
});

export const outcomeOf = ({ error }: RequestRecord): RequestOutcome => {
  if (error === null) return 'done';
  return error.code === 'client_closed_request' ? 'cancelled' : 'error';
};

/** Tokens a second: the first token ends the prefill, the others are what decoding took its time for. */
export const decodeRate = (completionTokens: number, decodeMs: number): number | null =>
  decodeMs > 0 && completionTokens > 1 ? ((completionTokens - 1) * 1000) / decodeMs : null;
