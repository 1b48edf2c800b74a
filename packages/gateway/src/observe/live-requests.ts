/**
 * What is being answered at this moment. A request costs one entry in a set: how far it is, is read from its own
 * record when somebody looks, so nothing is counted twice and nothing is done for each token.
 */
import type { LiveRequest, RequestPhase } from '@cortex/core';
import { decodeRate, type RequestRecord } from '../proxy/exchange.ts';
import type { Unsubscribe } from './ring.ts';

export interface LiveIdentity {
  readonly id: string;
  readonly dialect: string;
  readonly client: string;
}

export type LiveChange =
  | { readonly kind: 'started'; readonly request: LiveRequest }
  | { readonly kind: 'ended'; readonly id: string };

interface Entry {
  readonly identity: LiveIdentity;
  readonly record: RequestRecord;
}

const phaseOf = (record: RequestRecord): RequestPhase => {
  if (!record.atNode) return record.wait?.kind ?? 'queued';
  if (!record.streams) return 'running';
  return record.progress === null || record.progress.firstTokenMs === null ? 'prefill' : 'decoding';
};

const viewOf = ({ identity, record }: Entry, nowMs: number, epochMs: number): LiveRequest => {
  const { progress } = record;
  const firstTokenMs = progress?.firstTokenMs ?? null;
  const tokens = progress?.tokens.completion ?? 0;
  const elapsedMs = nowMs - record.startedMs;
  return {
    ...identity,
    asked: record.asked,
    model: record.model,
    node: record.atNode ? record.node : null,
    stream: record.streams,
    phase: phaseOf(record),
    wait: record.wait,
    started_at: Math.round(epochMs - elapsedMs),
    elapsed_ms: elapsedMs,
    attempts: record.nAttempts,
    cold_start: record.coldStart,
    queue_ms: record.atNode ? record.queueMs : null,
    load_ms: record.atNode ? record.loadMs : null,
    ttft_ms: firstTokenMs === null ? null : firstTokenMs - record.startedMs,
    completion_tokens: tokens,
    tok_s: decodeRate(tokens, progress?.decodeMs ?? 0),
  };
};

export class LiveRequests {
  readonly #entries = new Set<Entry>();
  readonly #listeners = new Set<(change: LiveChange) => void>();

  get count(): number {
    return this.#entries.size;
  }

  /** @returns to be called when it has ended. */
  begin(identity: LiveIdentity, record: RequestRecord): () => void {
    const entry: Entry = { identity, record };
    this.#entries.add(entry);
    if (this.#listeners.size > 0)
      this.#tell({ kind: 'started', request: viewOf(entry, performance.now(), Date.now()) });
    return () => {
      if (this.#entries.delete(entry)) this.#tell({ kind: 'ended', id: identity.id });
    };
  }

  /** Oldest first. */
  snapshot(): readonly LiveRequest[] {
    const nowMs = performance.now();
    const epochMs = Date.now();
    return Array.from(this.#entries, (entry) => viewOf(entry, nowMs, epochMs));
  }

  /** Hears who starts and who ends; how far they are is for `snapshot`, as often as somebody wants to see it. */
  subscribe(listener: (change: LiveChange) => void): Unsubscribe {
    const own = (change: LiveChange): void => listener(change);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** A listener that throws is dropped: a request must not fail because somebody looked at it. */
  #tell(change: LiveChange): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch {
        this.#listeners.delete(listener);
      }
    }
  }
}
