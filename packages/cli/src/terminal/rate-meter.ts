/** How fast something grows, over the last seconds: what is remembered slides, so a stall shows. No clock of its own. */

const windowMs = 5000;

export class RateMeter {
  readonly #samples: { readonly atMs: number; readonly value: number }[] = [];

  /** Later than all before it. */
  add(atMs: number, value: number): void {
    this.#samples.push({ atMs, value });
    while (this.#samples.length > 2 && (this.#samples[1]?.atMs ?? atMs) <= atMs - windowMs) this.#samples.shift();
  }

  /** A second; null before there is anything to measure. */
  perSecond(): number | null {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return null;
    return ((last.value - first.value) / (last.atMs - first.atMs)) * 1000;
  }
}
