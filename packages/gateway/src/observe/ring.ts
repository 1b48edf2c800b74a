/**
 * The last so many of something, and whoever wants to hear of the next one. Bounded, and nobody is waited for: a
 * listener hears at once, and one that throws is dropped rather than hurt what it listens to.
 */

export type Unsubscribe = () => void;

export class Ring<T> {
  /** By number, from `#oldest` on without a gap. */
  readonly #items = new Map<number, T>();
  readonly #itemsMax: number;
  readonly #weightMax: number;
  readonly #weigh: (item: T) => number;
  readonly #listeners = new Set<(item: T) => void>();
  #oldest = 0;
  #weight = 0;

  /** Also bounded by the sum of `weigh` over its items when both are given; an item heavier than that is only told. */
  constructor(itemsMax: number, weightMax = Infinity, weigh: (item: T) => number = () => 0) {
    this.#itemsMax = itemsMax;
    this.#weightMax = weightMax;
    this.#weigh = weigh;
  }

  push(item: T): void {
    this.#items.set(this.#oldest + this.#items.size, item);
    this.#weight += this.#weigh(item);
    while (this.#items.size > this.#itemsMax || this.#weight > this.#weightMax) this.#dropOldest();
    for (const listener of this.#listeners) {
      try {
        listener(item);
      } catch {
        this.#listeners.delete(listener);
      }
    }
  }

  /** A copy, oldest first. */
  snapshot(): readonly T[] {
    return [...this.#items.values()];
  }

  /** Hears of everything pushed from now on. */
  subscribe(listener: (item: T) => void): Unsubscribe {
    // A function of its own, so that the same listener may subscribe twice.
    const own = (item: T): void => listener(item);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  #dropOldest(): void {
    const oldest = this.#items.get(this.#oldest);
    this.#items.delete(this.#oldest);
    this.#oldest += 1;
    if (oldest !== undefined) this.#weight -= this.#weigh(oldest);
  }
}
