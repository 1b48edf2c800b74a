/** What happens in the fleet as log lines: the kind is the message, the facts are fields. */
import { CortexError } from '@cortex/core';
import type { Logger } from 'pino';
import type { FleetNotice } from '../fleet/notices.ts';

type Level = 'info' | 'warn' | 'error';

const levels: Readonly<Record<FleetNotice['kind'], Level>> = {
  node_up: 'info',
  node_down: 'warn',
  circuit_opened: 'warn',
  circuit_closed: 'info',
  device_poisoned: 'error',
  group_broken: 'error',
  draining: 'info',
  drained: 'info',
  undrained: 'info',
  pinned: 'info',
  unpinned: 'info',
  load_started: 'info',
  load_progress: 'info',
  load_finished: 'info',
  load_failed: 'error',
  evicted: 'info',
  idle_unloaded: 'info',
  unloaded: 'info',
  unload_failed: 'warn',
  defrag_due: 'warn',
};

export const logNotice = (log: Logger, notice: FleetNotice): void => {
  const { kind, ...facts } = notice;
  const fields = Object.entries(facts).flatMap(([key, value]): [string, unknown][] =>
    value instanceof CortexError
      ? [
          ['code', value.code],
          ['reason', value.message],
        ]
      : [[key, value]],
  );
  log[levels[kind]](Object.fromEntries(fields), kind);
};
