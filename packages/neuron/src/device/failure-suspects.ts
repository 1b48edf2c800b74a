/**
 * Whose failure it was: the native library reports an assert for the process, not for a thread. The thread that failed
 * is busy and never moves on, so whoever is idle or moves on is cleared. Pure decisions over heartbeats.
 */
import type { HeartbeatReading } from './heartbeat.ts';

/** What each busy device had done when the failure was reported. */
export type Suspects<D> = ReadonlyMap<D, bigint>;

export const suspectsOf = <D>(readings: ReadonlyMap<D, HeartbeatReading>): Suspects<D> => {
  const suspects = new Map<D, bigint>();
  for (const [device, { activity, nDone }] of readings) if (activity !== 'idle') suspects.set(device, nDone);
  return suspects;
};

/** Those that have not moved on; a device without a reading is out of service and suspected no more. */
export const stillSuspect = <D>(suspects: Suspects<D>, readings: ReadonlyMap<D, HeartbeatReading>): Suspects<D> =>
  new Map([...suspects].filter(([device, nDone]) => readings.get(device)?.nDone === nDone));
