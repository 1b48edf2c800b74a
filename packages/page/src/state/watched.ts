/** What the page knows of the gateway: each event makes a new state out of the last. Lists are bounded, newest first. */
import type { FinishedRequest, FleetSnapshot, LiveRequest, PageEvents, RoutingDecision } from '@cortex/core';
import type { PageEvent } from '../api/watch.ts';
import { parseLogLine, type LogEntry } from './log-entry.ts';

export interface Watched {
  readonly hello: PageEvents['hello'] | null;
  readonly fleet: FleetSnapshot | null;
  readonly live: PageEvents['live'];
  readonly finished: readonly FinishedRequest[];
  readonly decisions: readonly RoutingDecision[];
  readonly log: readonly LogEntry[];
}

export const nothingYet: Watched = {
  hello: null,
  fleet: null,
  live: { total: 0, requests: [] },
  finished: [],
  decisions: [],
  log: [],
};

const finishedMax = 200;
const decisionsMax = 200;
const logMax = 500;

const newestFirst = <T>(known: readonly T[], news: readonly T[], max: number): readonly T[] =>
  [...news.toReversed(), ...known].slice(0, max);

export const applyEvent = (state: Watched, { event, data }: PageEvent): Watched => {
  switch (event) {
    case 'hello':
      // A new stream tells everything from its beginning.
      return { ...nothingYet, fleet: state.fleet, hello: data };
    case 'fleet':
      return { ...state, fleet: data };
    case 'live':
      return { ...state, live: data };
    case 'finished':
      return { ...state, finished: newestFirst(state.finished, data, finishedMax) };
    case 'decisions':
      return { ...state, decisions: newestFirst(state.decisions, data, decisionsMax) };
    case 'log':
      return { ...state, log: newestFirst(state.log, data.map(parseLogLine), logMax) };
    default:
      // A newer gateway may tell more.
      return state;
  }
};

/** Tokens a second of all that decodes now. */
export const decodeRate = (requests: readonly LiveRequest[]): number =>
  requests.reduce((sum, request) => sum + (request.phase === 'decoding' ? (request.tok_s ?? 0) : 0), 0);
