/**
 * Ends one call to a node: when the client leaves, or when the node has been silent for too long. The signal's reason
 * is always the CortexError that says why. One timer for the call's whole life.
 */
import { CortexError } from '@cortex/core';

export class SilenceWatch implements Disposable {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal;
  readonly #node: string;
  #timer: NodeJS.Timeout | null = null;
  #limitMs = 0;
  #expected = '';

  constructor(parent: AbortSignal, node: string) {
    this.#parent = parent;
    this.#node = node;
    parent.addEventListener('abort', this.#follow);
    if (parent.aborted) this.#follow();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From now on `what` must come, or a sign of life, within `limitMs`. */
  expect(what: string, limitMs: number): void {
    this.#expected = what;
    if (this.#timer !== null && this.#limitMs === limitMs) {
      this.#timer.refresh();
      return;
    }
    this.pause();
    this.#limitMs = limitMs;
    this.#timer = setTimeout(this.#expire, limitMs);
  }

  /** A sign of life. */
  alive(): void {
    this.#timer?.refresh();
  }

  /** The node is not what is waited for. `expect` starts it again. */
  pause(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  [Symbol.dispose](): void {
    this.pause();
    this.#parent.removeEventListener('abort', this.#follow);
  }

  readonly #follow = (): void => {
    this.pause();
    this.#controller.abort(this.#parent.reason);
  };

  readonly #expire = (): void => {
    const message = `node ${this.#node} sent no ${this.#expected} within ${this.#limitMs / 1000} s`;
    this.#controller.abort(new CortexError('upstream_timeout', message, { facts: { node: this.#node } }));
  };
}
