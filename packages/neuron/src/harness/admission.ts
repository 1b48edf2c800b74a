/**
 * The bounded queue in front of one model. The device's own run loop decides the order; here is counted how many
 * requests wait, so that one too many is answered at once and not after a minute.
 */
import { CortexError } from '@cortex/core';

export interface AdmissionOptions {
  readonly modelId: string;
  /** Sequences that run at once. */
  readonly nSlots: number;
  /** Requests that may wait, and as many again of clients that have none here yet. */
  readonly queueMax: number;
  /** A request that the device has not begun with by then is told to come back. */
  readonly waitMsMax: number;
  readonly now?: () => number;
}

/** One request's place. */
export interface Place {
  /** Aborts with `overloaded` where the device takes too long to begin with it. */
  readonly deadline: AbortSignal;
  /** The device has begun with it. */
  admitted(): void;
  /** It has ended, in whatever way. Only the first call counts. */
  leave(): void;
}

/** Requests that may wait at most, of all clients together. */
export const waitingMax = (queueMax: number): number => 2 * queueMax;

const retrySecsMax = 60;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #now: () => number;
  #nWaiting = 0;
  #nLive = 0;
  /** Sequences of all live requests, waiting ones too. */
  #nSequences = 0;
  /** Live requests of each client that has any. */
  readonly #nLiveOf = new Map<string, number>();
  #nRejected = 0;
  /** From a request's begin to its end, recent ones weighing more. */
  #meanMs: number | null = null;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get nWaiting(): number {
    return this.#nWaiting;
  }
  get nRunning(): number {
    return this.#nLive - this.#nWaiting;
  }
  get nRejected(): number {
    return this.#nRejected;
  }

  /**
   * A queue that others have filled is not full for a client without a request: its first is let in beyond, within bounds.
   * @throws CortexError `rate_limit_exceeded` where `nSequences` more would have to wait and the queue is full.
   */
  enter(nSequences: number, client: string): Place {
    const { nSlots, queueMax } = this.#options;
    const nOwn = this.#nLiveOf.get(client) ?? 0;
    // A request that has all the slots to itself never waits, however many sequences it asks for.
    const waits = this.#nSequences > 0 && this.#nSequences + nSequences > nSlots;
    if (waits && this.#nWaiting >= (nOwn === 0 ? waitingMax(queueMax) : queueMax)) throw this.#full();
    this.#nLive += 1;
    this.#nLiveOf.set(client, nOwn + 1);
    this.#nSequences += nSequences;
    if (waits) this.#nWaiting += 1;
    return this.#place(nSequences, client, waits);
  }

  #place(nSequences: number, client: string, waits: boolean): Place {
    let state: 'waiting' | 'running' | 'left' = waits ? 'waiting' : 'running';
    let begunMs = this.#now();
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(this.#late()), this.#options.waitMsMax);
    const begin = (): void => {
      clearTimeout(timer);
      if (state !== 'waiting') return;
      this.#nWaiting -= 1;
      state = 'running';
    };
    const admitted = (): void => {
      if (state === 'waiting') begunMs = this.#now();
      begin();
    };
    const leave = (): void => {
      if (state === 'left') return;
      // What only waited says nothing of how long one takes, nor does the waiting of what ran.
      if (state === 'running') this.#learn(this.#now() - begunMs);
      begin();
      state = 'left';
      this.#nLive -= 1;
      this.#forget(client);
      this.#nSequences -= nSequences;
    };
    return { deadline: deadline.signal, admitted, leave };
  }

  #learn(ms: number): void {
    this.#meanMs = this.#meanMs === null ? ms : this.#meanMs * 0.8 + ms * 0.2;
  }

  #forget(client: string): void {
    const nLeft = (this.#nLiveOf.get(client) ?? 0) - 1;
    if (nLeft > 0) this.#nLiveOf.set(client, nLeft);
    else this.#nLiveOf.delete(client);
  }

  /** About the time that the queue takes. */
  get #retryAfterSecs(): number {
    const secs = ((this.#meanMs ?? 1000) * (this.#nWaiting + 1)) / this.#options.nSlots / 1000;
    return Math.min(retrySecsMax, Math.max(1, Math.ceil(secs)));
  }

  #late(): CortexError {
    const { modelId, waitMsMax } = this.#options;
    return new CortexError('overloaded', `${modelId} had no room for this request within ${waitMsMax / 1000} s`, {
      facts: { model_id: modelId },
      retryAfterSecs: this.#retryAfterSecs,
    });
  }

  #full(): CortexError {
    const { modelId, nSlots, queueMax } = this.#options;
    this.#nRejected += 1;
    return new CortexError(
      'rate_limit_exceeded',
      `${modelId} is busy: ${nSlots} sequences run and ${this.#nWaiting} requests wait, the limit is ${queueMax}`,
      {
        facts: { model_id: modelId, limit: queueMax },
        retryAfterSecs: this.#retryAfterSecs,
      },
    );
  }
}
