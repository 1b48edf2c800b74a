import { describe, expect, it } from 'vitest';
import type { FinishedRequest, LiveRequest, RoutingDecision } from '@cortex/core';
import type { PageEvent } from '../api/watch.ts';
import { applyEvent, decodeRate, nothingYet, type Watched } from './watched.ts';

const finished = (id: number): FinishedRequest => ({ id: String(id) }) as FinishedRequest;
const decision = (id: number): RoutingDecision => ({ request_id: String(id) }) as RoutingDecision;
const upTo = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i);
const after = (...events: readonly PageEvent[]): Watched => events.reduce(applyEvent, nothingYet);
const hello: PageEvent = { event: 'hello', data: { version: '1', admin: true, keys: false } };

const live = (phase: LiveRequest['phase'], tok_s: number | null) => ({ phase, tok_s }) as LiveRequest;

describe('what is watched', () => {
  it('has the newest first and is bounded', () => {
    const state = after(
      hello,
      { event: 'finished', data: upTo(150).map(finished) },
      { event: 'finished', data: [150, 151].map(finished) },
      { event: 'finished', data: upTo(100).map((n) => finished(n + 152)) },
      { event: 'decisions', data: upTo(500).map(decision) },
      { event: 'log', data: upTo(900).map((n) => `{"msg":"${n}"}`) },
    );
    expect(state.finished.map(({ id }) => Number(id))).toEqual(upTo(200).map((n) => 251 - n));
    expect([state.decisions.length, state.decisions[0]?.request_id]).toEqual([200, '499']);
    expect([state.log.length, state.log[0]?.message]).toEqual([500, '899']);
  });

  it('begins anew with a new stream, which tells everything again, but keeps the fleet on the screen', () => {
    const fleet = { nodes: [], queue: { waiting: 0, max: 1, oldest_secs: 0, by_model: [] }, plans: [], models: [] };
    const state = after(hello, { event: 'fleet', data: fleet }, { event: 'finished', data: [finished(1)] }, hello);
    expect(state.fleet).toBe(fleet);
    expect(state.finished).toEqual([]);
  });

  it('takes no notice of events of a newer gateway', () => {
    const state = after(hello);
    expect(applyEvent(state, { event: 'weather', data: {} } as unknown as PageEvent)).toBe(state);
  });

  it('sums the rate of what decodes', () => {
    expect(decodeRate([live('decoding', 40), live('decoding', null), live('prefill', 9), live('decoding', 2)])).toBe(
      42,
    );
  });
});
