import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Lease, ModelState } from './model-registry.ts';
import { whileLoading } from './while-loading.ts';

const loading = (fraction: number): ModelState => ({
  kind: 'loading',
  progress: { fraction, phase: 'weights' },
  startedMs: 0,
  done: Promise.resolve(),
});

const at = (): ModelState => ({ kind: 'available' });

const newLease = (): Lease => ({ release: vi.fn<() => void>() }) as unknown as Lease;

describe('a lease on a model that is not loaded', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('tells how far it is, once a second, until it is there', async () => {
    const lease = newLease();
    let fraction = 0;
    const leasing = new Promise<Lease>((resolve) => setTimeout(() => resolve(lease), 2500));
    const events = whileLoading(leasing, () => loading((fraction += 0.25)));
    const first = events.next();
    await vi.advanceTimersByTimeAsync(1000);
    expect((await first).value).toEqual({ kind: 'loading', fraction: 0.25, phase: 'weights' });
    const second = events.next();
    await vi.advanceTimersByTimeAsync(1000);
    expect((await second).value).toMatchObject({ fraction: 0.5 });
    const third = events.next();
    await vi.advanceTimersByTimeAsync(500);
    expect(await third).toEqual({ done: true, value: lease });
    expect(lease.release).not.toHaveBeenCalled();
  });

  it('says nothing of what is there at once, or fails at once', async () => {
    const lease = newLease();
    expect(await whileLoading(Promise.resolve(lease), at).next()).toEqual({ done: true, value: lease });
    await expect(whileLoading(Promise.reject(new Error('broken')), at).next()).rejects.toThrow('broken');
  });

  it('throws what fails later, and gives back what nobody waits for any more', async () => {
    const failing = whileLoading(new Promise((_, reject) => setTimeout(() => reject(new Error('no room')), 1500)), () =>
      loading(0),
    );
    const first = failing.next();
    await vi.advanceTimersByTimeAsync(1000);
    await first;
    const second = failing.next();
    await Promise.all([expect(second).rejects.toThrow('no room'), vi.advanceTimersByTimeAsync(500)]);

    const lease = newLease();
    const left = whileLoading(new Promise((resolve) => setTimeout(() => resolve(lease), 1500)), () => loading(0));
    const event = left.next();
    await vi.advanceTimersByTimeAsync(1000);
    await event;
    await left.return(lease);
    await vi.advanceTimersByTimeAsync(500);
    expect(lease.release).toHaveBeenCalledOnce();
  });
});
