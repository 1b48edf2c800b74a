import { expect, it } from 'vitest';
import { WorkRate } from './work-rate.ts';

it('is tokens over time at work, null before any', () => {
  const rate = new WorkRate();
  expect(rate.tokensPerSecond).toBeNull();
  rate.add(10, 100);
  rate.add(10, 300);
  expect(rate.tokensPerSecond).toBe(50);
});

it('forgets work that lies more than a minute of work back', () => {
  const rate = new WorkRate();
  for (let i = 0; i < 100; i++) rate.add(1, 1000);
  for (let i = 0; i < 120; i++) rate.add(100, 500);
  expect(rate.tokensPerSecond).toBe(200);
});
