import { describe, expect, it } from 'vitest';
import type { DeviceHealth } from '@cortex/core';
import { DeviceReadings } from './device-readings.ts';

const reading = (used: number): readonly DeviceHealth[] => [
  { index: 0, vram_used_mb: used, vram_free_mb: 0, poisoned: false },
];

describe('DeviceReadings', () => {
  it('gives a new reading each time, as long as the engine answers', async () => {
    let used = 0;
    const readings = new DeviceReadings(async () => reading((used += 1)), 1000);
    expect(await readings.latest()).toEqual(reading(1));
    expect(await readings.latest()).toEqual(reading(2));
  });

  it('gives the one before when a device is busy, asks only once meanwhile, and catches up', async () => {
    const waiting: ((health: readonly DeviceHealth[]) => void)[] = [];
    let calls = 0;
    const readings = new DeviceReadings(() => {
      calls += 1;
      return calls === 1 ? Promise.resolve(reading(1)) : new Promise((resolve) => waiting.push(resolve));
    }, 10);
    await readings.latest();
    expect(await Promise.all([readings.latest(), readings.latest()])).toEqual([reading(1), reading(1)]);
    expect(calls).toBe(2);
    const caughtUp = readings.latest();
    waiting[0]?.(reading(5));
    expect(await caughtUp).toEqual(reading(5));
  });

  it('passes a failure on, and asks again after it', async () => {
    let calls = 0;
    const readings = new DeviceReadings(async () => {
      calls += 1;
      if (calls === 1) throw new Error('no device');
      return reading(1);
    }, 10);
    await expect(readings.latest()).rejects.toThrow('no device');
    expect(await readings.latest()).toEqual(reading(1));
  });
});
