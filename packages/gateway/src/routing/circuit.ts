/**
 * A node's circuit, fed by live requests: failures in a row open it, after a pause it lets single requests probe, one
 * success closes it. Pure: every function returns the next circuit.
 */

export type Circuit =
  | { readonly kind: 'closed'; readonly failures: number }
  /** `openings` in a row without a success: each doubles the pause. */
  | { readonly kind: 'open'; readonly untilMs: number; readonly openings: number }
  /** Lets one request through at a time, `nextProbeMs` being when the next may go. */
  | { readonly kind: 'half_open'; readonly nextProbeMs: number; readonly openings: number };

export interface CircuitPolicy {
  /** Failures in a row that open it. */
  readonly failuresMax: number;
  readonly openMs: number;
  readonly openMaxMs: number;
  /** Between two probes; a probe may be a stream that runs for minutes, so its end is not waited for. */
  readonly probeGapMs: number;
}

export const closedCircuit: Circuit = { kind: 'closed', failures: 0 };

/** When it lets the next request through. */
export const circuitOpensMs = (circuit: Circuit): number => {
  if (circuit.kind === 'closed') return 0;
  return circuit.kind === 'open' ? circuit.untilMs : circuit.nextProbeMs;
};

export const circuitAllows = (circuit: Circuit, nowMs: number): boolean => nowMs >= circuitOpensMs(circuit);

/** A request goes to the node. */
export const circuitGranted = (circuit: Circuit, policy: CircuitPolicy, nowMs: number): Circuit =>
  circuit.kind === 'closed'
    ? circuit
    : { kind: 'half_open', nextProbeMs: nowMs + policy.probeGapMs, openings: circuit.openings };

export const circuitSucceeded = (circuit: Circuit): Circuit =>
  circuit.kind === 'closed' && circuit.failures === 0 ? circuit : closedCircuit;

const opened = (openings: number, policy: CircuitPolicy, nowMs: number, jitter: number): Circuit => {
  const pauseMs = Math.min(policy.openMaxMs, policy.openMs * 2 ** Math.min(openings - 1, 30));
  return { kind: 'open', untilMs: nowMs + pauseMs * (1 + jitter / 4), openings };
};

/** @param jitter 0..1, so that several gateways do not probe in step. */
export const circuitFailed = (circuit: Circuit, policy: CircuitPolicy, nowMs: number, jitter: number): Circuit => {
  // While it is open this is a request from before the opening, and what it tells is known.
  if (circuit.kind === 'open') return circuit;
  if (circuit.kind === 'half_open') return opened(circuit.openings + 1, policy, nowMs, jitter);
  const failures = circuit.failures + 1;
  return failures >= policy.failuresMax ? opened(1, policy, nowMs, jitter) : { kind: 'closed', failures };
};

/** The node came back from a restart: worth a probe at once. */
export const circuitRestarted = (circuit: Circuit): Circuit =>
  circuit.kind === 'open' ? { kind: 'half_open', nextProbeMs: 0, openings: circuit.openings } : circuit;
