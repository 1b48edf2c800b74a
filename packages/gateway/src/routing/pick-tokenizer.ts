/**
 * Which node counts a request's tokens. Pure. The model need not be loaded there: its files hold the tokenizer. A node
 * that has it loaded has the tokenizer in memory and comes first, then neurons, which know the count of pictures too.
 */
import { circuitAllows } from './circuit.ts';
import type { ModelOnNode } from './topology.ts';

export interface TokenizerDemand {
  readonly needsVision: boolean;
  readonly excludedNodes: ReadonlySet<string>;
  readonly nowMs: number;
}

const mayCount = (entry: ModelOnNode, demand: TokenizerDemand): boolean => {
  const { node } = entry;
  if (node.reach !== 'up' || node.drainedFrom !== null || demand.excludedNodes.has(node.name)) return false;
  return circuitAllows(node.circuit, demand.nowMs) && entry.servable && (!demand.needsVision || entry.maySee);
};

/** Lower is better. */
const rankOf = (entry: ModelOnNode): number =>
  (entry.node.silent ? 4 : 0) + (entry.status === 'loaded' ? 0 : 2) + (entry.node.kind === 'neuron' ? 0 : 1);

/** @param entries the model on every node that lists it; null when none can be asked now */
export const pickTokenizer = (entries: readonly ModelOnNode[], demand: TokenizerDemand): ModelOnNode | null => {
  let best: ModelOnNode | null = null;
  for (const entry of entries) {
    if (!mayCount(entry, demand)) continue;
    const isBetter =
      best === null || rankOf(entry) < rankOf(best) || (rankOf(entry) === rankOf(best) && entry.leases < best.leases);
    if (isBetter) best = entry;
  }
  return best;
};
