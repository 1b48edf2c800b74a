/**
 * Tells of a client's leaving what an `AbortSignal` would. Node's own is an event target with listeners that are objects:
 * cold, as most requests find it, that costs more than choosing a node.
 */
import type { CortexError } from '@cortex/core';
import type { LeaveSignal } from '../fleet/contract.ts';

export class ClientLeaving implements LeaveSignal {
  readonly #listeners = new Set<() => void>();
  #reason: CortexError | null = null;

  get aborted(): boolean {
    return this.#reason !== null;
  }

  get reason(): CortexError | null {
    return this.#reason;
  }

  throwIfAborted(): void {
    if (this.#reason !== null) throw this.#reason;
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.add(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.delete(listener);
  }

  /** Whatever else ends it afterwards says nothing new. */
  abort(reason: CortexError): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    for (const listener of this.#listeners) listener();
  }

  /** For what takes nothing else. */
  toAbortSignal(): AbortSignal {
    const controller = new AbortController();
    const abort = (): void => controller.abort(this.#reason);
    if (this.aborted) abort();
    else this.addEventListener('abort', abort);
    return controller.signal;
  }
}
