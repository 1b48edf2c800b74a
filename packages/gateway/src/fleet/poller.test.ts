import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../test/fleet/manual-clock.ts';
import type { Look, NodeClient } from './node-client.ts';
import { Poller, type PollEvent } from './poller.ts';

const policy = { intervalMs: 2000, timeoutMs: 1500, backOffMaxMs: 8000 };

const health = (uptimeSecs: number): Look => ({
  discovery: null,
  models: [],
  health: {
    status: 'ok',
    uptime_secs: uptimeSecs,
    devices: [],
    activation: { state: 'idle', loaded: [], failed: [] },
    models: [],
  },
});

/** A node whose looks are answered as the test says. */
class ScriptedNode implements NodeClient {
  readonly looks: { readonly atMs: number; readonly withDiscovery: boolean }[] = [];
  readonly #clock: ManualClock;
  answer: (signal: AbortSignal) => Promise<Look> = () => Promise.resolve(health(this.#clock.now() / 1000));

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  look(withDiscovery: boolean, signal: AbortSignal): Promise<Look> {
    this.looks.push({ atMs: this.#clock.now(), withDiscovery });
    return this.answer(signal);
  }

  load(): Promise<void> {
    return Promise.reject(new Error('polls never load'));
  }

  unload(): Promise<void> {
    return Promise.reject(new Error('polls never unload'));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const refused = (): Promise<never> => Promise.reject(new CortexError('upstream_disconnected', 'connection refused'));

/** Answers only by giving up. */
const stalled = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new CortexError('upstream_timeout', 'no answer in time')));
  });

const scene = (random = 0) => {
  const clock = new ManualClock();
  const nodes = { a: new ScriptedNode(clock), b: new ScriptedNode(clock) };
  const events: PollEvent[] = [];
  const poller = new Poller(
    new Map(Object.entries(nodes)),
    policy,
    clock,
    () => random,
    (event) => events.push(event),
  );
  return { clock, nodes, events, poller };
};

const times = (node: ScriptedNode): readonly number[] => node.looks.map((look) => look.atMs);

describe('the poller', () => {
  it('looks at every node at once and then well within each interval, jitter making it only shorter', async () => {
    const exact = scene(0);
    exact.poller.start();
    await exact.clock.advance(5000);
    expect(times(exact.nodes.a)).toEqual([0, 1500, 3000, 4500]);
    const early = scene(1);
    early.poller.start();
    await early.clock.advance(5000);
    expect(times(early.nodes.b)).toEqual([0, 1200, 2400, 3600, 4800]);
  });

  it('says within an interval that a node has stopped answering, and takes none for silent that is only slow', async () => {
    const { clock, nodes, events, poller } = scene();
    poller.start();
    await clock.advance(100);
    nodes.a.answer = stalled;
    const late = (node: string): number => events.filter((one) => one.kind === 'poll_late' && one.node === node).length;
    await clock.advance(policy.intervalMs - 101);
    expect(late('a')).toBe(0);
    await clock.advance(1);
    expect(late('a')).toBe(1);
    const slowly = (): Promise<Look> =>
      new Promise((resolve) => {
        clock.after(800, () => resolve(health(clock.now() / 1000)));
      });
    nodes.b.answer = slowly;
    await clock.advance(3000);
    expect(late('b')).toBe(1);
    await clock.advance(30_000);
    expect(late('b')).toBe(1);
    expect(events.some((one) => one.kind === 'poll_failed' && one.node === 'b')).toBe(false);
  });

  it('is not held up by a node that stalls, whose poll ends in a failure after the timeout', async () => {
    const { clock, nodes, events, poller } = scene();
    nodes.a.answer = stalled;
    poller.start();
    await clock.advance(4000);
    expect(times(nodes.b)).toEqual([0, 1500, 3000]);
    expect(events.filter((event) => event.node === 'a')).toEqual([
      { kind: 'poll_late', node: 'a' },
      { kind: 'poll_failed', node: 'a', reason: 'no answer in time', startedMs: 0, unanswered: true },
      { kind: 'poll_late', node: 'a' },
    ]);
  });

  it('backs off from a dead node, and is back at its interval once it answers', async () => {
    const { clock, nodes, poller } = scene();
    nodes.a.answer = refused;
    poller.start();
    await clock.advance(30_000);
    expect(times(nodes.a)).toEqual([0, 2000, 6000, 14_000, 22_000, 30_000]);
    nodes.a.answer = () => Promise.resolve(health(1));
    await clock.advance(11_000);
    expect(times(nodes.a).slice(6)).toEqual([38_000, 39_500, 41_000]);
  });

  it('begins a poll asked for right away, or right after the one under way', async () => {
    const { clock, nodes, poller } = scene();
    poller.start();
    await clock.advance(500);
    poller.pollNow('a');
    await clock.advance(100);
    expect(times(nodes.a)).toEqual([0, 500]);
    const answers: ((look: Look) => void)[] = [];
    nodes.a.answer = () =>
      new Promise((resolve) => {
        answers.push(resolve);
      });
    poller.pollNow('a');
    poller.pollNow('a');
    poller.pollNow('a');
    await clock.advance(100);
    expect(nodes.a.looks).toHaveLength(3);
    nodes.a.answer = () => Promise.resolve(health(1));
    answers[0]?.(health(1));
    await clock.advance(100);
    expect(nodes.a.looks).toHaveLength(4);
    await clock.advance(1500);
    expect(nodes.a.looks).toHaveLength(5);
  });

  it('asks for the devices first, after a failure, after a restart, and seldom otherwise', async () => {
    const { clock, nodes, poller } = scene();
    poller.start();
    await clock.advance(1500 * 31);
    const discoveries = (): readonly number[] =>
      nodes.a.looks.flatMap((look) => (look.withDiscovery ? [look.atMs] : []));
    expect(discoveries()).toEqual([0, 45_000]);
    nodes.a.answer = refused;
    await clock.advance(1500);
    nodes.a.answer = () => Promise.resolve(health(1000));
    await clock.advance(2000);
    expect(discoveries()).toEqual([0, 45_000, 50_000]);
    nodes.a.answer = () => Promise.resolve(health(1));
    await clock.advance(1500);
    expect(discoveries()).toEqual([0, 45_000, 50_000, 51_500]);
  });

  it('says when each poll began', async () => {
    const { clock, events, poller } = scene();
    poller.start();
    await clock.advance(1500);
    const began = events.flatMap((event) => (event.kind === 'polled' ? [event.result.startedMs] : []));
    expect(began).toEqual([0, 0, 1500, 1500]);
  });

  it('leaves nothing behind when closed, not even a poll under way', async () => {
    const { clock, nodes, events, poller } = scene();
    nodes.a.answer = stalled;
    poller.start();
    await clock.advance(10);
    poller.close();
    poller.pollNow('b');
    await clock.advance(10_000);
    expect(events.filter((event) => event.node === 'a')).toEqual([]);
    expect(nodes.b.looks).toHaveLength(1);
    expect(clock.nTimers).toBe(0);
  });
});
