/** Whether a step has been running for too long: a pure decision over one reading of a heartbeat. */
import type { HeartbeatReading } from './heartbeat.ts';

/** For how long the step has been running, in ms, when that is over the limit; else null. Loads have no limit. */
export const overdueMs = (reading: HeartbeatReading, nowNs: bigint, stepMsMax: number): number | null => {
  if (reading.activity !== 'step') return null;
  const ms = Number((nowNs - reading.sinceNs) / 1_000_000n);
  return ms > stepMsMax ? ms : null;
};
