/** Everything that can be watched while the gateway runs, in memory and bounded; a restart forgets it. */
import type { FinishedRequest } from '@cortex/core';
import { LiveRequests } from './live-requests.ts';
import type { LogLines } from './log-lines.ts';
import { Ring } from './ring.ts';
import { RoutingDecisions } from './routing-decisions.ts';

const finishedMax = 200;

export class Observed {
  readonly live = new LiveRequests();
  readonly finished = new Ring<FinishedRequest>(finishedMax);
  readonly decisions = new RoutingDecisions(() => performance.now());
  readonly log: Pick<LogLines, 'snapshot' | 'subscribe'>;

  constructor(log: Pick<LogLines, 'snapshot' | 'subscribe'>) {
    this.log = log;
  }
}
