/**
 * The last routing decisions and what was against the other nodes. Putting them into words costs at most three
 * thousandths of the time, saved up over quiet minutes: what a busy gateway leaves out is the wording, never the decision.
 */
import type { RouteExplanation, RoutingDecision } from '@cortex/core';
import { Ring, type Unsubscribe } from './ring.ts';

const decisionsMax = 200;
const candidatesMax = 64;
/** Of the time, for wording. */
const share = 0.003;
/** What can be saved up: some hundred decisions at once. */
const savedMsMax = 100;

const ranks: Readonly<Record<RouteExplanation['candidates'][number]['verdict'], number>> = {
  chosen: 0,
  eligible: 1,
  rejected: 2,
};

/** The chosen node is kept, whatever else has to go. */
const shortened = (explanation: RouteExplanation): RouteExplanation => {
  const { candidates } = explanation;
  if (candidates.length <= candidatesMax) return explanation;
  const ranked = candidates.toSorted((a, b) => ranks[a.verdict] - ranks[b.verdict]);
  return { ...explanation, candidates: ranked.slice(0, candidatesMax) };
};

export class RoutingDecisions {
  readonly #now: () => number;
  readonly #ring = new Ring<RoutingDecision>(decisionsMax);
  /** Time that wording may take; below zero it has taken too much. */
  #savedMs = savedMsMax;
  #savedAtMs: number;

  /** `now` in milliseconds of a monotonic clock. */
  constructor(now: () => number) {
    this.#now = now;
    this.#savedAtMs = now();
  }

  /** Of a decision about to be taken. @returns null when wording has had its share of the time. */
  explain(explain: () => RouteExplanation): RouteExplanation | null {
    const startedMs = this.#now();
    this.#savedMs = Math.min(savedMsMax, this.#savedMs + (startedMs - this.#savedAtMs) * share);
    this.#savedAtMs = startedMs;
    if (this.#savedMs < 0) return null;
    const explanation = shortened(explain());
    this.#savedMs -= this.#now() - startedMs;
    return explanation;
  }

  add(decision: RoutingDecision): void {
    this.#ring.push(decision);
  }

  /** Oldest first. */
  snapshot(): readonly RoutingDecision[] {
    return this.#ring.snapshot();
  }

  subscribe(listener: (decision: RoutingDecision) => void): Unsubscribe {
    return this.#ring.subscribe(listener);
  }
}
