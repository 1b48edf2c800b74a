import { describe, expect, it } from 'vitest';
import { Random } from './random.ts';

const draws = (seed: number | null, n = 8): number[] => {
  const random = new Random(seed);
  return Array.from({ length: n }, () => random.next());
};

describe('Random', () => {
  it('repeats for a seed and differs between seeds', () => {
    expect(draws(42)).toEqual(draws(42));
    const firsts = [0, 1, -1, 2 ** 32, 2 ** 33, 7, Number.MAX_SAFE_INTEGER].map((seed) => draws(seed).join());
    expect(new Set(firsts).size).toBe(firsts.length);
    expect(draws(null)).not.toEqual(draws(null));
  });

  it('is uniform over [0, 1)', () => {
    const nBins = 64;
    const nDraws = 64_000;
    const bins = new Float64Array(nBins);
    for (const value of draws(3, nDraws)) {
      const bin = Math.floor(value * nBins);
      bins[bin] = (bins[bin] ?? 0) + 1;
    }
    const expected = nDraws / nBins;
    const chiSquare = bins.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    // 63 degrees of freedom: 99.99 % of uniform generators stay below 114.
    expect(chiSquare).toBeLessThan(114);
  });

  it('gives nearby seeds unrelated first draws', () => {
    const mean = Array.from({ length: 2000 }, (_, seed) => draws(seed, 1)[0] ?? 0).reduce((a, b) => a + b) / 2000;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.03);
  });
});
