/** Whether something grows that should be level: two halves of a long run, and two times with nothing loaded. */
import { median } from '../median.ts';
import type { Reading } from './process-readings.ts';

/** Shorter halves of a run are still warming up: caches fill and V8 tunes itself. */
const windowSecsMin = 120;
/** Growth from one half to the other that is no leak: noise of the allocator and of V8. */
const growthMax = { rssMb: 32, heapMb: 16, externalMb: 16, nativeMb: 16 } as const;
/** Connections that are being closed make the difference of descriptors. */
const emptyGrowthMax = { nFds: 4, nThreads: 1, nativeHandles: 0, nativeMb: 0, rssMb: 160, heapMb: 48 } as const;

const grown = <K extends string>(
  max: Readonly<Record<K, number>>,
  from: Readonly<Record<K, number>>,
  to: Readonly<Record<K, number>>,
): readonly string[] =>
  (Object.keys(max) as K[]).flatMap((key) =>
    to[key] - from[key] > max[key] ? [`${key} grew from ${from[key].toFixed(1)} to ${to[key].toFixed(1)}`] : [],
  );

const mediansOf = (readings: readonly Reading[]): Record<keyof typeof growthMax, number> => {
  const of = (key: keyof Reading): number => median(readings.map((reading) => reading[key]));
  return { rssMb: of('rssMb'), heapMb: of('heapMb'), externalMb: of('externalMb'), nativeMb: of('nativeMb') };
};

/** @param readings at regular times, after a warm-up */
export const leaksIn = (
  readings: readonly Reading[],
  { before, after }: { readonly before: Reading; readonly after: Reading },
): readonly string[] => {
  const whenEmpty = grown<keyof typeof emptyGrowthMax>(emptyGrowthMax, before, after).map(
    (what) => `with nothing loaded, ${what}`,
  );
  const [early, late] = [readings.slice(0, readings.length >> 1), readings.slice(readings.length >> 1)];
  const secs = (late.at(-1)?.atSecs ?? 0) - (late[0]?.atSecs ?? 0);
  if (secs < windowSecsMin) return whenEmpty;
  const underLoad = grown(growthMax, mediansOf(early), mediansOf(late));
  return [...whenEmpty, ...underLoad.map((what) => `from one half of the run to the other, ${what}`)];
};
