import { describe, expect, it } from 'vitest';
import {
  circuitAllows,
  circuitFailed,
  circuitGranted,
  circuitRestarted,
  circuitSucceeded,
  closedCircuit,
  type Circuit,
} from './circuit.ts';

const policy = { failuresMax: 3, openMs: 1000, openMaxMs: 10_000, probeGapMs: 500 };

const failed = (circuit: Circuit, times: number, nowMs = 0): Circuit => {
  let next = circuit;
  for (let i = 0; i < times; i += 1) next = circuitFailed(next, policy, nowMs, 0);
  return next;
};

describe('a circuit', () => {
  it('opens after failures in a row, not before', () => {
    expect(circuitAllows(failed(closedCircuit, 2), 0)).toBe(true);
    expect(circuitAllows(failed(closedCircuit, 3), 999)).toBe(false);
    expect(failed(circuitSucceeded(failed(closedCircuit, 2)), 2).kind).toBe('closed');
  });

  it('lets probes through one by one once its pause is over', () => {
    const open = failed(closedCircuit, 3);
    expect(circuitAllows(open, 1000)).toBe(true);
    const probing = circuitGranted(open, policy, 1000);
    expect(circuitAllows(probing, 1499)).toBe(false);
    expect(circuitAllows(probing, 1500)).toBe(true);
  });

  it('doubles its pause with each failed probe, up to a limit', () => {
    let circuit = failed(closedCircuit, 3);
    const pauses: number[] = [];
    for (let i = 0; i < 6; i += 1) {
      circuit = circuitFailed(circuitGranted(circuit, policy, 0), policy, 0, 0);
      pauses.push(circuit.kind === 'open' ? circuit.untilMs : 0);
    }
    expect(pauses).toEqual([2000, 4000, 8000, 10_000, 10_000, 10_000]);
  });

  it('is not opened further by requests from before its opening', () => {
    const open = failed(closedCircuit, 3);
    expect(failed(open, 50, 500)).toBe(open);
  });

  it('closes on a success, and may be probed at once after a restart', () => {
    const open = failed(closedCircuit, 3);
    expect(circuitSucceeded(open)).toEqual(closedCircuit);
    expect(circuitAllows(circuitRestarted(open), 0)).toBe(true);
  });
});
