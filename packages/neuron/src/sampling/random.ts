/**
 * The sampler's random numbers: xoshiro128** (Blackman and Vigna), its state filled from a seed by splitmix32.
 * One seed gives one sequence, on every machine; not for secrets.
 */

/** One splitmix32 step: a well-mixed word from a counter. */
function mix(counter: number): number {
  let z = counter | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
  return (z ^ (z >>> 15)) >>> 0;
}

const goldenGamma = 0x9e3779b9;
const rotateLeft = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** `seed`: any integer; its low and high 32 bits both count. `null` takes one at random. */
  constructor(seed: number | null) {
    const value = seed ?? Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
    const low = value >>> 0;
    const high = Math.floor(value / 0x1_0000_0000) >>> 0;
    // `mix` is a bijection, so the first two words are never both zero: the one state to avoid cannot arise.
    this.#a = mix(low + goldenGamma);
    this.#b = mix(low + 2 * goldenGamma);
    this.#c = mix((high ^ this.#a) + 3 * goldenGamma);
    this.#d = mix((high ^ this.#b) + 4 * goldenGamma);
  }

  #nextUint32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotateLeft(this.#d, 11);
    return result;
  }

  /** Uniform in [0, 1), with 53 bits. */
  next(): number {
    const high = this.#nextUint32() >>> 5;
    const low = this.#nextUint32() >>> 6;
    return (high * 0x400_0000 + low) / 0x20_0000_0000_0000;
  }
}
