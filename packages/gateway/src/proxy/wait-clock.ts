/** What a request waited for, where no lease says so in the end: it was refused, or its client left. */
import type { WaitProgress } from '../fleet/contract.ts';

export class WaitClock {
  readonly #now: () => number;
  readonly #spentMs = { queueMs: 0, loadMs: 0 };
  #what: keyof WaitTimes = 'queueMs';
  #sinceMs: number;

  /** `now` in milliseconds of a monotonic clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#sinceMs = now();
  }

  note({ kind }: WaitProgress): void {
    this.#pass();
    this.#what = kind === 'loading' ? 'loadMs' : 'queueMs';
  }

  stop(): WaitTimes {
    this.#pass();
    return this.#spentMs;
  }

  #pass(): void {
    const nowMs = this.#now();
    this.#spentMs[this.#what] += nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
  }
}

interface WaitTimes {
  readonly queueMs: number;
  readonly loadMs: number;
}
