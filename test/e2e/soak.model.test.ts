/** The soak in short: everything but the growth of memory over many minutes, for which `npm run soak` is there. */
import { expect, it } from 'vitest';
import { leaksIn } from '../../scripts/soak/leaks.ts';
import type { Reading } from '../../scripts/soak/process-readings.ts';
import { runSoak } from '../../scripts/soak/run-soak.ts';

const at = (atSecs: number, more: Partial<Reading> = {}): Reading => ({
  atSecs,
  rssMb: 500,
  heapMb: 40,
  externalMb: 10,
  nativeHandles: 20,
  nativeMb: 50,
  nFds: 100,
  nThreads: 20,
  loopP99Ms: 1,
  ...more,
});

it('a neuron under mixed traffic loses no slot, no request and no handle', async () => {
  const { ledger, empty, faults } = await runSoak({ secs: 10, nClients: 14, seed: 7 });
  expect(faults).toEqual([]);
  expect(ledger.nDone).toBeGreaterThan(20);
  expect(ledger.nErrors).toBeGreaterThan(0);
  expect(ledger.nCancelled).toBeGreaterThan(0);
  expect(ledger.nCompared).toBeGreaterThan(0);
  expect(empty.after.nativeHandles).toBe(0);
}, 120_000);

it('tells growth from level', () => {
  const level = Array.from({ length: 100 }, (_, i) => at(i * 5, { rssMb: 500 + 20 * (i % 2) }));
  const empty = { before: at(0, { nativeHandles: 0 }), after: at(600, { nativeHandles: 0 }) };
  expect(leaksIn(level, empty)).toEqual([]);
  const rising = level.map((reading, i) => ({ ...reading, rssMb: 500 + i }));
  expect(leaksIn(rising, empty)).toEqual(['from one half of the run to the other, rssMb grew from 525.0 to 575.0']);
  expect(leaksIn(level, { ...empty, after: at(600, { nativeHandles: 1 }) })).toEqual([
    'with nothing loaded, nativeHandles grew from 0.0 to 1.0',
  ]);
});
