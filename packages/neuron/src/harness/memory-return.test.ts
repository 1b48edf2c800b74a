import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { MemoryReturn } from './memory-return.ts';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

it('gives memory back once for models that go together, and again for the next', async () => {
  const giveBack = vi.fn<() => Promise<void>>(() => Promise.resolve());
  const memory = new MemoryReturn(giveBack, 1000);
  memory.soon();
  await vi.advanceTimersByTimeAsync(900);
  memory.soon();
  expect(giveBack).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(100);
  expect(giveBack).toHaveBeenCalledTimes(1);
  await vi.advanceTimersByTimeAsync(5000);
  expect(giveBack).toHaveBeenCalledTimes(1);
  memory.soon();
  await vi.advanceTimersByTimeAsync(1000);
  expect(giveBack).toHaveBeenCalledTimes(2);
});

it('tries again after a failure, of which nobody else hears', async () => {
  // No mock: that would handle the rejection.
  let nTries = 0;
  const memory = new MemoryReturn(() => {
    nTries += 1;
    return Promise.reject(new Error('no thread is free'));
  }, 1000);
  memory.soon();
  await vi.advanceTimersByTimeAsync(1000);
  memory.soon();
  await vi.advanceTimersByTimeAsync(1000);
  expect(nTries).toBe(2);
});
