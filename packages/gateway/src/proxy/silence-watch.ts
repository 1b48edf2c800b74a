/**
 * Ends one call to a node: when the client leaves, when the node has been silent for too long, or when it hangs and
 * another can take over. One timer for the call's whole life.
 */
import { CortexError } from '@cortex/core';
import type { LeaveSignal } from '../fleet/contract.ts';

export class SilenceWatch {
  readonly #client: LeaveSignal;
  readonly #node: string;
  readonly #end: (reason: CortexError) => void;
  #timer: NodeJS.Timeout | null = null;
  #lastChance: NodeJS.Immediate | null = null;
  #limitMs = 0;
  #heardMs = performance.now();
  #expected = '';

  /** `end` may be called again, for another reason. */
  constructor(client: LeaveSignal, node: string, end: (reason: CortexError) => void) {
    this.#client = client;
    this.#node = node;
    this.#end = end;
    client.addEventListener('abort', this.#leave);
  }

  /** From now on `what` must come, or a sign of life, within `limitMs`. */
  expect(what: string, limitMs: number): void {
    this.#expected = what;
    if (this.#timer !== null && this.#limitMs === limitMs) {
      this.alive();
      return;
    }
    this.pause();
    this.#limitMs = limitMs;
    this.#timer = setTimeout(this.#expire, limitMs);
  }

  /** A sign of life. */
  alive(): void {
    this.heard();
    this.#dropLastChance();
    this.#timer?.refresh();
  }

  /** A sign of life that puts no deadline off. */
  heard(): void {
    this.#heardMs = performance.now();
  }

  /** The node has answered no look since then: the call ends, unless it heard more of it, or nobody else can answer. */
  doubt(sinceMs: number, another: () => boolean): void {
    if (this.#heardMs >= sinceMs || !another()) return;
    const message = `node ${this.#node} answers nothing any more`;
    this.#end(new CortexError('upstream_timeout', message, { facts: { node: this.#node } }));
  }

  /** The node is not what is waited for. `expect` starts it again. */
  pause(): void {
    this.#dropLastChance();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** The call has ended. */
  stop(): void {
    this.pause();
    this.#client.removeEventListener('abort', this.#leave);
  }

  readonly #leave = (): void => {
    this.pause();
    this.#end(CortexError.from(this.#client.reason));
  };

  #dropLastChance(): void {
    if (this.#lastChance !== null) clearImmediate(this.#lastChance);
    this.#lastChance = null;
  }

  /** A busy event loop runs late timers before it reads its sockets: what lies there already is a sign of life. */
  readonly #expire = (): void => {
    this.#lastChance = setImmediate(() => {
      const message = `node ${this.#node} sent no ${this.#expected} within ${this.#limitMs / 1000} s`;
      this.#end(new CortexError('upstream_timeout', message, { facts: { node: this.#node } }));
    });
  };
}
