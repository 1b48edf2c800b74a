/**
 * Events pushed on one side and read by one loop on the other. Nothing waits for the reader: what it has not read is
 * kept, up to a limit beyond which the stream fails. Ends in exactly one of: end, failure, the reader leaving.
 */
import { CortexError } from '@cortex/core';

type Ending = { readonly kind: 'end' } | { readonly kind: 'failure'; readonly error: unknown };

export interface EventStreamOptions {
  /** Events kept for the reader. */
  readonly eventsMax: number;
  /** Called once when nobody will read on: the reader left, or was too slow. */
  readonly onAbandoned: () => void;
}

export class EventStream<T> implements AsyncIterableIterator<T> {
  readonly #options: EventStreamOptions;
  #events: T[] = [];
  /** Next in `#events`: shifting a long array for each would cost more than the event. */
  #iNext = 0;
  #ending: Ending | null = null;
  #wake: (() => void) | null = null;

  constructor(options: EventStreamOptions) {
    this.#options = options;
  }

  push(events: readonly T[]): void {
    if (this.#ending !== null) return;
    if (this.#events.length - this.#iNext + events.length > this.#options.eventsMax) {
      this.#options.onAbandoned();
      this.fail(new CortexError('overloaded', `${this.#options.eventsMax} events of this answer were left unread`));
      return;
    }
    this.#events.push(...events);
    this.#wake?.();
  }

  end(): void {
    this.#finish({ kind: 'end' });
  }

  /** What is unread is still read first. */
  fail(error: unknown): void {
    this.#finish({ kind: 'failure', error });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<T>> {
    if (this.#iNext >= this.#events.length && this.#ending === null) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#iNext < this.#events.length) {
      const value = this.#events[this.#iNext++] as T;
      if (this.#iNext === this.#events.length) {
        this.#events = [];
        this.#iNext = 0;
      }
      return { done: false, value };
    }
    const ending = this.#ending;
    if (ending?.kind !== 'failure') return { done: true, value: undefined };
    // Thrown once; a loop that goes on after it finds the end.
    this.#ending = { kind: 'end' };
    throw ending.error;
  }

  return(): Promise<IteratorResult<T>> {
    if (this.#ending === null) this.#options.onAbandoned();
    this.#finish({ kind: 'end' });
    this.#events = [];
    this.#iNext = 0;
    return Promise.resolve({ done: true, value: undefined });
  }

  #finish(ending: Ending): void {
    this.#ending ??= ending;
    this.#wake?.();
  }
}
