/**
 * After models have come or gone, what the allocator keeps of the memory they used is given back to the system: soon,
 * but once for all that come and go together.
 */

const defaultDelayMs = 5000;

export class MemoryReturn {
  readonly #giveBack: () => Promise<void>;
  readonly #delayMs: number;
  #timer: NodeJS.Timeout | null = null;

  constructor(giveBack: () => Promise<void>, delayMs = defaultDelayMs) {
    this.#giveBack = giveBack;
    this.#delayMs = delayMs;
  }

  soon(): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      // Where that fails nothing is lost: the next model that comes or goes brings another try.
      this.#giveBack().catch(() => {});
    }, this.#delayMs).unref();
  }
}
