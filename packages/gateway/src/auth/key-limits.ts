/**
 * What each key may use: requests at once, and tokens over a minute and over a day. A token budget is a bucket that
 * refills steadily; a request is let in while there is something in it, and what it really cost is taken out
 * afterwards, so that a bucket can be in debt but never refuses a request half-way.
 */
import { CortexError, type KeyConfig } from '@cortex/core';

const minuteMs = 60_000;
const dayMs = 86_400_000;

class Bucket {
  readonly #capacity: number;
  readonly #periodMs: number;
  #level: number;
  #atMs: number;

  constructor(capacity: number, periodMs: number, nowMs: number) {
    this.#capacity = capacity;
    this.#periodMs = periodMs;
    this.#level = capacity;
    this.#atMs = nowMs;
  }

  take(tokens: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#level -= tokens;
  }

  /** Seconds until there is something in it again; 0 when there is. */
  waitSecs(nowMs: number): number {
    this.#refill(nowMs);
    if (this.#level > 0) return 0;
    const perMs = this.#capacity / this.#periodMs;
    return Math.max(1, Math.ceil((1 - this.#level) / perMs / 1000));
  }

  #refill(nowMs: number): void {
    const gained = ((nowMs - this.#atMs) * this.#capacity) / this.#periodMs;
    this.#level = Math.min(this.#capacity, this.#level + gained);
    this.#atMs = nowMs;
  }
}

interface KeyUse {
  nRunning: number;
  readonly minute: Bucket | null;
  readonly day: Bucket | null;
}

export interface Admission {
  /** The request has ended, having used `tokens` in all. Exactly once; later calls are ignored. */
  end(tokens: number): void;
}

const unlimited: Admission = { end: () => undefined };

export class KeyLimits {
  readonly #now: () => number;
  readonly #uses = new Map<string, KeyUse>();

  /** `now` in milliseconds of a monotonic clock. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * `tokensMin` are taken at once, so that many requests of one moment count against each other.
   * @throws CortexError `rate_limit_exceeded` (requests at once, tokens a minute), `insufficient_quota` (tokens a day).
   */
  admit(key: KeyConfig | null, tokensMin: number): Admission {
    if (key === null) return unlimited;
    const use = this.#useOf(key);
    this.#refuseIfUsedUp(key, use);
    use.nRunning += 1;
    this.#take(use, tokensMin);
    let ended = false;
    return {
      end: (tokens) => {
        if (ended) return;
        ended = true;
        use.nRunning -= 1;
        this.#take(use, Math.max(0, tokens - tokensMin));
      },
    };
  }

  #useOf(key: KeyConfig): KeyUse {
    const known = this.#uses.get(key.name);
    if (known !== undefined) return known;
    const bucket = (capacity: number | undefined, periodMs: number): Bucket | null =>
      capacity === undefined ? null : new Bucket(capacity, periodMs, this.#now());
    const use = {
      nRunning: 0,
      minute: bucket(key.tokens_per_minute, minuteMs),
      day: bucket(key.tokens_per_day, dayMs),
    };
    this.#uses.set(key.name, use);
    return use;
  }

  #refuseIfUsedUp(key: KeyConfig, use: KeyUse): void {
    const facts = { key: key.name };
    if (key.max_concurrent !== undefined && use.nRunning >= key.max_concurrent) {
      const message = `key ${key.name} may run ${key.max_concurrent} requests at once`;
      throw new CortexError('rate_limit_exceeded', message, { facts: { ...facts, limit: key.max_concurrent } });
    }
    const daySecs = use.day?.waitSecs(this.#now()) ?? 0;
    if (daySecs > 0) {
      const message = `key ${key.name} has used its ${key.tokens_per_day ?? 0} tokens a day`;
      throw new CortexError('insufficient_quota', message, { facts, retryAfterSecs: daySecs });
    }
    const minuteSecs = use.minute?.waitSecs(this.#now()) ?? 0;
    if (minuteSecs > 0) {
      const message = `key ${key.name} has used its ${key.tokens_per_minute ?? 0} tokens a minute`;
      throw new CortexError('rate_limit_exceeded', message, { facts, retryAfterSecs: minuteSecs });
    }
  }

  #take(use: KeyUse, tokens: number): void {
    use.minute?.take(tokens, this.#now());
    use.day?.take(tokens, this.#now());
  }
}
