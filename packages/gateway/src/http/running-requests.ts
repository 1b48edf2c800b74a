/**
 * Every inference request from its headers' arrival to its answer's last byte, so that a shutdown can wait for them, and
 * end what it must.
 */
import { CortexError } from '@cortex/core';
import type { ClientReply } from '../proxy/client-reply.ts';

/** For an aborted request to tell its client so. */
const abortSettleMs = 1000;

const shuttingDown = (): CortexError =>
  new CortexError('overloaded', 'this gateway is shutting down', { retryAfterSecs: 5 });

export class RunningRequests {
  /** Those that can be told that it is over; others are still being sent, or their answers still being read. */
  readonly #running = new Set<ClientReply>();
  readonly #idle: (() => void)[] = [];
  #nOpen = 0;
  #draining = false;

  get draining(): boolean {
    return this.#draining;
  }

  get count(): number {
    return this.#nOpen;
  }

  /** @throws CortexError `overloaded` once a shutdown has begun. */
  refuseWhenDraining(): void {
    if (this.#draining) throw shuttingDown();
  }

  /** @returns to be called once, when its answer is out or its client gone */
  arrive(): () => void {
    this.#nOpen += 1;
    return () => {
      this.#nOpen -= 1;
      if (this.#nOpen === 0) for (const wake of this.#idle.splice(0)) wake();
    };
  }

  async run(reply: ClientReply, work: () => Promise<void>): Promise<void> {
    this.#running.add(reply);
    try {
      await work();
    } finally {
      this.#running.delete(reply);
    }
  }

  /** From now on nothing new starts. Resolves when all have ended; those that outlast the grace are told so. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    await this.#idleWithin(graceMs);
    for (const reply of this.#running) reply.abort(shuttingDown());
    await this.#idleWithin(abortSettleMs);
  }

  async #idleWithin(ms: number): Promise<void> {
    if (this.#nOpen === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
