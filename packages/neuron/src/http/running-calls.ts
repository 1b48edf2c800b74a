/**
 * Every request that does inference, from its start to its end. Ties each to its client's socket, so that a client
 * that leaves stops the work at once, and lets a shutdown wait for them.
 */
import type { ServerResponse } from 'node:http';
import { CortexError } from '@cortex/core';

export class RunningCalls {
  readonly #running = new Set<AbortController>();
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
    if (!this.#draining) return;
    throw new CortexError('overloaded', 'this neuron is shutting down', { retryAfterSecs: 5 });
  }

  /** @throws what the work throws. The signal aborts when the client's socket closes before its answer has ended, and at the end of a drain. */
  async run<T>(response: ServerResponse, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.refuseWhenDraining();
    const controller = new AbortController();
    const leave = (): void => controller.abort(new CortexError('client_closed_request', 'the client left'));
    // The socket's own event: the response's may come late, or not at all for one that was never written to.
    const { socket } = response;
    if (socket === null || socket.destroyed) leave();
    else socket.once('close', leave);
    this.#running.add(controller);
    try {
      return await work(controller.signal);
    } catch (error) {
      // Whatever an aborted engine throws, the reason is why it was aborted.
      throw controller.signal.aborted ? controller.signal.reason : error;
    } finally {
      socket?.off('close', leave);
      this.#running.delete(controller);
      if (this.#running.size === 0) for (const wake of this.#idle.splice(0)) wake();
    }
  }

  /** From now on nothing new starts. Resolves when all have ended; those that outlast the grace are aborted. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    await this.#idleWithin(graceMs);
    for (const controller of this.#running)
      controller.abort(new CortexError('overloaded', 'this neuron is shutting down', { retryAfterSecs: 5 }));
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

/** An aborted request ends within one engine step; longer than this is a hung device and not waited for. */
const abortSettleMs = 2000;
