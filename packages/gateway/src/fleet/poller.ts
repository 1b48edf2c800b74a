/**
 * Looks at every node again and again, each in its own rhythm: a slow or dead one delays no other. A node has at most
 * one poll under way. A pause and the patience with the look behind it are one interval together, and the jitter only
 * shortens pauses: a node that stops answering is known to be silent within the interval.
 */
import { CortexError } from '@cortex/core';
import type { Clock } from './clock.ts';
import type { FleetEvent } from './events.ts';
import type { FleetConfig } from './fleet-config.ts';
import type { NodeClient } from './node-client.ts';

/** Devices change only with a restart or a driver's whim, so `/discovery` is asked this seldom. */
const pollsPerDiscovery = 30;
const jitterMax = 0.2;
/** Of the interval, for an answer; the rest is the pause before it. */
const patienceShare = 0.25;
/** A busy machine is late by this much without meaning anything. */
const patienceMinMs = 100;
/** How many times as long as it usually takes a node may take, and how fast it is forgotten that it was slow. */
const slack = 2;
const forgetting = 0.75;

interface Subject {
  readonly name: string;
  readonly client: NodeClient;
  cancelTimer: () => void;
  abort: AbortController | null;
  /** Asked for while one was under way: that one began too early to count. */
  again: boolean;
  failures: number;
  /** What an answer of it takes: a slow node is not a silent one. */
  usualMs: number;
  sinceDiscovery: number;
  uptimeSecs: number;
}

export type PollEvent = Extract<FleetEvent, { kind: 'polled' | 'poll_late' | 'poll_failed' }>;

export class Poller {
  readonly #policy: FleetConfig['poll'];
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #report: (event: PollEvent) => void;
  readonly #subjects = new Map<string, Subject>();
  #closed = false;

  constructor(
    clients: ReadonlyMap<string, NodeClient>,
    policy: FleetConfig['poll'],
    clock: Clock,
    random: () => number,
    report: (event: PollEvent) => void,
  ) {
    this.#policy = policy;
    this.#clock = clock;
    this.#random = random;
    this.#report = report;
    for (const [name, client] of clients)
      this.#subjects.set(name, {
        name,
        client,
        cancelTimer: () => undefined,
        abort: null,
        again: false,
        failures: 0,
        usualMs: 0,
        sinceDiscovery: pollsPerDiscovery,
        uptimeSecs: 0,
      });
  }

  start(): void {
    for (const subject of this.#subjects.values()) void this.#look(subject);
  }

  /** A poll that begins now, or right after the one under way. */
  pollNow(name: string): void {
    const subject = this.#subjects.get(name);
    if (subject === undefined || this.#closed) return;
    if (subject.abort !== null) {
      subject.again = true;
      return;
    }
    subject.cancelTimer();
    void this.#look(subject);
  }

  close(): void {
    this.#closed = true;
    for (const subject of this.#subjects.values()) {
      subject.cancelTimer();
      subject.abort?.abort();
    }
  }

  async #look(subject: Subject): Promise<void> {
    const abort = new AbortController();
    subject.abort = abort;
    subject.again = false;
    const late: PollEvent = { kind: 'poll_late', node: subject.name };
    const cancelLate = this.#clock.after(this.#patienceMs(subject), () => this.#report(late));
    const cancelTimeout = this.#clock.after(this.#policy.timeoutMs, () => abort.abort());
    const event = await this.#ask(subject, abort.signal);
    cancelLate();
    cancelTimeout();
    subject.abort = null;
    if (this.#closed) return;
    this.#report(event);
    // The report may have asked for another look already.
    if (subject.abort !== null) return;
    if (subject.again) void this.#look(subject);
    else subject.cancelTimer = this.#clock.after(this.#pauseMs(subject), () => void this.#look(subject));
  }

  async #ask(subject: Subject, signal: AbortSignal): Promise<PollEvent> {
    const { name } = subject;
    const startedMs = this.#clock.now();
    const withDiscovery = subject.failures > 0 || subject.sinceDiscovery >= pollsPerDiscovery;
    try {
      const look = await subject.client.look(withDiscovery, signal);
      subject.failures = 0;
      subject.usualMs = Math.max(this.#clock.now() - startedMs, subject.usualMs * forgetting);
      subject.sinceDiscovery = withDiscovery ? 1 : subject.sinceDiscovery + 1;
      const uptimeSecs = look.health?.uptime_secs ?? 0;
      if (uptimeSecs < subject.uptimeSecs && !withDiscovery) {
        subject.sinceDiscovery = pollsPerDiscovery;
        subject.again = true;
      }
      subject.uptimeSecs = uptimeSecs;
      return { kind: 'polled', node: name, result: { ...look, startedMs } };
    } catch (thrown) {
      subject.failures += 1;
      const { code, message } = CortexError.from(thrown);
      return { kind: 'poll_failed', node: name, reason: message, startedMs, unanswered: code === 'upstream_timeout' };
    }
  }

  #patienceMs({ usualMs }: Subject): number {
    return Math.max(this.#policy.intervalMs * patienceShare, usualMs * slack, patienceMinMs);
  }

  #pauseMs({ failures }: Subject): number {
    const { intervalMs, backOffMaxMs } = this.#policy;
    const pauseMs =
      failures === 0
        ? intervalMs * (1 - patienceShare)
        : Math.min(backOffMaxMs, intervalMs * 2 ** Math.min(failures - 1, 20));
    return pauseMs * (1 - jitterMax * this.#random());
  }
}
