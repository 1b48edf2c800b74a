import { describe, expect, it } from 'vitest';
import type { HeartbeatReading } from './heartbeat.ts';
import { stillSuspect, suspectsOf } from './failure-suspects.ts';

const reading = (activity: HeartbeatReading['activity'], nDone: bigint): HeartbeatReading => ({
  activity,
  nDone,
  sinceNs: 0n,
});
const at = (nA: bigint, nB: bigint) =>
  new Map([
    ['a', reading('step', nA)],
    ['b', reading('load', nB)],
    ['idle', reading('idle', 5n)],
  ]);

describe('the suspects of a failure', () => {
  it('are those at work', () => {
    expect([...suspectsOf(at(1n, 1n)).keys()]).toEqual(['a', 'b']);
  });

  it('stay suspect until they move on or are taken out of service', () => {
    const suspects = suspectsOf(at(1n, 1n));
    expect([...stillSuspect(suspects, at(1n, 1n)).keys()]).toEqual(['a', 'b']);
    expect([...stillSuspect(suspects, at(2n, 1n)).keys()]).toEqual(['b']);
    const rest = at(1n, 1n);
    rest.delete('b');
    expect([...stillSuspect(suspects, rest).keys()]).toEqual(['a']);
  });
});
