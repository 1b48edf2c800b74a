import { describe, expect, it } from 'vitest';
import type { FleetSnapshot } from '@cortex/core';
import { FleetText } from './fleet-text.ts';

const empty: FleetSnapshot = {
  nodes: [],
  queue: { waiting: 0, max: 1, oldest_secs: 0, by_model: [] },
  plans: [],
  models: [],
};

const taking = (snapshot: FleetSnapshot) => {
  const clock = { nowMs: 0, nTaken: 0 };
  const fleet = new FleetText(
    () => {
      clock.nTaken += 1;
      return snapshot;
    },
    () => clock.nowMs,
  );
  return { clock, fleet };
};

describe('the fleet as text', () => {
  it('is taken once a second, however many look', () => {
    const { clock, fleet } = taking(empty);
    for (; clock.nowMs < 10_000; clock.nowMs += 100) expect(JSON.parse(fleet.read())).toEqual(empty);
    expect(clock.nTaken).toBe(10);
  });

  it('is taken more rarely the larger it is', () => {
    const by_model = Array.from({ length: 50_000 }, (_, i) => ({ model: `model-${i}`, waiting: 1 }));
    const { clock, fleet } = taking({ ...empty, queue: { ...empty.queue, by_model } });
    for (; clock.nowMs < 10_000; clock.nowMs += 100) fleet.read();
    expect(clock.nTaken).toBeLessThan(6);
  });
});
