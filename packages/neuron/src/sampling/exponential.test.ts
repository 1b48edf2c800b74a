import { expect, it } from 'vitest';
import { expNonPositive } from './exponential.ts';

it('agrees with Math.exp to ten digits', () => {
  let worst = 0;
  for (let x = 0; x > -600; x -= 0.0137) {
    worst = Math.max(worst, Math.abs(expNonPositive(x) / Math.exp(x) - 1));
  }
  expect(worst).toBeLessThan(1e-10);
});

it('is one at zero, and zero far below and at -Infinity', () => {
  expect(expNonPositive(0)).toBe(1);
  expect(expNonPositive(-1e6)).toBe(0);
  expect(expNonPositive(-Infinity)).toBe(0);
});
