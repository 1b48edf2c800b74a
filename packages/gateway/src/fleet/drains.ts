/** When a draining node is empty: nothing of ours runs there, and nobody who came before still waits for it. */
import type { FleetData, NodeRecord } from './fleet-data.ts';

export const inFlightOn = (node: NodeRecord): number => {
  let total = 0;
  for (const record of node.models.values()) total += record.leases;
  return total;
};

/** Somebody who came before the draining waits for what this node has, or is loading. */
const isAwaited = (data: FleetData, { models, drainedFrom }: NodeRecord): boolean => {
  for (const { id, status, operation } of models.values()) {
    if (operation !== 'load' && status !== 'loading' && status !== 'loaded') continue;
    for (const waiter of data.queue.of(id)) if (drainedFrom !== null && waiter.ticket < drainedFrom) return true;
  }
  return false;
};

/** Says so once. */
export const noticeDrained = (data: FleetData, node: NodeRecord): void => {
  if (node.drainedFrom === null || node.drained || inFlightOn(node) > 0 || isAwaited(data, node)) return;
  node.drained = true;
  data.notice({ kind: 'drained', node: node.name });
};
