/** Every inference request from its start to its end, so that a shutdown can wait for them, and end what it must. */
import { CortexError } from '@cortex/core';
import type { ClientReply } from '../proxy/client-reply.ts';

/** For an aborted request to tell its client so. */
const abortSettleMs = 1000;

const shuttingDown = (): CortexError =>
  new CortexError('overloaded', 'this gateway is shutting down', { retryAfterSecs: 5 });

export class RunningRequests {
  readonly #running = new Set<ClientReply>();
  readonly #idle: (() => void)[] = [];
  #draining = false;

  get draining(): boolean {
    return this.#draining;
  }

  get count(): number {
    return this.#running.size;
  }

  /** @throws CortexError `overloaded` once a shutdown has begun. */
  refuseWhenDraining(): void {
    if (this.#draining) throw shuttingDown();
  }

  async run(reply: ClientReply, work: () => Promise<void>): Promise<void> {
    this.#running.add(reply);
    try {
      await work();
    } finally {
      this.#running.delete(reply);
      if (this.#running.size === 0) for (const wake of this.#idle.splice(0)) wake();
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
    if (this.#running.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
