/** How long loads took, to say of a running one when it will be done. */
export class LoadTimes {
  readonly #lastMs = new Map<string, number>();
  #bytesPerMs: number | null = null;

  record(id: string, bytes: number, ms: number): void {
    this.#lastMs.set(id, ms);
    if (ms > 0) this.#bytesPerMs = bytes / ms;
  }

  /** From this model's last load, else from another's speed, else from this one's own; null while nothing is known. */
  etaSecs(id: string, bytes: number, elapsedMs: number, fraction: number): number | null {
    const likeOthers = this.#bytesPerMs === null ? null : bytes / this.#bytesPerMs;
    const expectedMs = this.#lastMs.get(id) ?? likeOthers ?? (fraction > 0.02 ? elapsedMs / fraction : null);
    return expectedMs === null ? null : Math.max(0, expectedMs - elapsedMs) / 1000;
  }
}
