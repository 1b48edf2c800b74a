/**
 * Which node that has a model takes a request. Pure, and without allocation per node; reasons are worded only when
 * somebody asks (`describeVerdict`). Where very many nodes have the model, the best of a window of them is taken, the
 * window moving on with each request: each look at a node is a cache miss, and among `windowSize` there is always one
 * about as idle as the idlest of all (Mitzenmacher, The Power of Two Choices, 1996).
 *
 * Least loaded is (our leases + requests of others) / slots; a copy that another gateway has yet to load counts as
 * busier than any. A conversation goes back to the node that holds its
 * prefix while that node has a free slot and is at most `affinitySlack` of its slots busier than the least loaded one:
 * the prefill saved outweighs a little less room, not a queue. Equal choices go to the faster decoder, an unmeasured
 * one first, and then to whoever was chosen longest ago.
 */
import { circuitAllows, circuitOpensMs } from './circuit.ts';
import type { ModelOnNode, NodeView } from './topology.ts';

export interface PickInput {
  readonly needsVision: boolean;
  readonly tokensMin: number;
  readonly excludedNodes: ReadonlySet<string>;
  /** Where the conversation's prefix is. */
  readonly affinity: NodeView | null;
  /** Order of arrival, against a node's `drainedFrom`; moves the window on. */
  readonly arrival: number;
  readonly nowMs: number;
}

/** How much busier, in parts of its slots, the node with the prefix may be. */
const affinitySlack = 0.5;

/** What a load behind another gateway weighs, in parts of all slots: more than a warm copy's last free one and the slack. */
const coldLoad = 2;

/** Nodes compared with each other before the best of them is taken. */
const windowSize = 64;

export type Verdict =
  | 'eligible'
  /** It could serve, and will once a slot is free or a pause is over. */
  | 'full'
  | 'backing_off'
  | 'probing'
  | 'silent'
  /** It can't serve this request. */
  | 'down'
  | 'excluded'
  | 'draining'
  | 'circuit_open'
  | 'not_loaded'
  | 'closing'
  | 'unservable'
  | 'poisoned'
  | 'no_vision'
  | 'context';

export type Pick =
  | { readonly kind: 'chosen'; readonly entry: ModelOnNode; readonly affine: boolean }
  /** Somebody could serve it, later. */
  | { readonly kind: 'full' }
  | { readonly kind: 'absent' };

const judgeNode = ({ node }: ModelOnNode, input: PickInput): Verdict => {
  if (node.reach !== 'up') return 'down';
  if (input.excludedNodes.size > 0 && input.excludedNodes.has(node.name)) return 'excluded';
  if (node.drainedFrom !== null && input.arrival >= node.drainedFrom) return 'draining';
  if (node.circuit.kind === 'closed' || circuitAllows(node.circuit, input.nowMs))
    return node.silent ? 'silent' : 'eligible';
  return node.circuit.kind === 'open' ? 'circuit_open' : 'probing';
};

/** Its node said that it is busy with it, or has yet to be looked at since the model was not what it seemed. */
export const isLeftAlone = ({ backOffUntilMs, doubtedMs, node }: ModelOnNode, nowMs: number): boolean =>
  backOffUntilMs > nowMs || doubtedMs > node.polledMs;

export const judge = (entry: ModelOnNode, input: PickInput): Verdict => {
  const verdict = judgeNode(entry, input);
  if (verdict !== 'eligible' && verdict !== 'probing' && verdict !== 'silent') return verdict;
  if (entry.status !== 'loaded' || entry.operation !== null) return 'not_loaded';
  if (entry.closingFor !== null) return 'closing';
  if (!entry.servable) return 'unservable';
  if (entry.poisoned) return 'poisoned';
  if (input.needsVision && !entry.maySee) return 'no_vision';
  if (input.tokensMin > entry.contextMax) return 'context';
  if (verdict !== 'eligible') return verdict;
  if (isLeftAlone(entry, input.nowMs)) return 'backing_off';
  return entry.leases >= entry.maxInFlight ? 'full' : 'eligible';
};

const loadOf = (entry: ModelOnNode): number =>
  (entry.leases + entry.foreign) / entry.maxInFlight + (entry.cold === null ? 0 : coldLoad);

const speedOf = (entry: ModelOnNode): number => entry.decodeTokS ?? Infinity;

const isBetter = (entry: ModelOnNode, load: number, best: ModelOnNode, bestLoad: number): boolean => {
  if (load !== bestLoad) return load < bestLoad;
  const faster = speedOf(entry);
  const fastest = speedOf(best);
  return faster === fastest ? entry.lastGrant < best.lastGrant : faster > fastest;
};

const full: Pick = { kind: 'full' };
const absent: Pick = { kind: 'absent' };

const isLater = (verdict: Verdict): boolean =>
  verdict === 'full' || verdict === 'backing_off' || verdict === 'probing' || verdict === 'silent';

/** The entry with the prefix, if it may be preferred to one of this load. */
const affineEntry = (modelId: string, bestLoad: number, input: PickInput): ModelOnNode | null => {
  const entry = input.affinity?.models.get(modelId);
  if (entry === undefined || loadOf(entry) > bestLoad + affinitySlack) return null;
  return judge(entry, input) === 'eligible' ? entry : null;
};

/** @param entries the model on every node that lists it */
export const pickNode = (entries: readonly ModelOnNode[], input: PickInput): Pick => {
  let best: ModelOnNode | null = null;
  let bestLoad = Infinity;
  let later = false;
  const start = (input.arrival * windowSize) % Math.max(1, entries.length);
  for (let i = 0; i < entries.length; i += 1) {
    if (i % windowSize === 0 && best !== null) break;
    const entry = entries[(start + i) % entries.length];
    if (entry === undefined) continue;
    const verdict = judge(entry, input);
    if (verdict === 'eligible') {
      const load = loadOf(entry);
      if (best !== null && !isBetter(entry, load, best, bestLoad)) continue;
      best = entry;
      bestLoad = load;
    } else later ||= isLater(verdict);
  }
  if (best === null) return later ? full : absent;
  const affine = affineEntry(best.id, bestLoad, input);
  return affine === null
    ? { kind: 'chosen', entry: best, affine: false }
    : { kind: 'chosen', entry: affine, affine: true };
};

const secondsUntil = (untilMs: number, nowMs: number): string =>
  `${(Math.max(0, untilMs - nowMs) / 1000).toFixed(1)} s`;

type Wording = (entry: ModelOnNode, input: PickInput) => string;

const eligible: Wording = (entry, input) => {
  const others = entry.foreign > 0 ? ` and ${entry.foreign} of others` : '';
  const prefix = entry.node === input.affinity ? ', holds the prefix' : '';
  const state = entry.cold === null ? 'model loaded' : 'its own gateway loads it';
  return `${state}, ${entry.leases} of ${entry.maxInFlight} in flight${others}${prefix}`;
};

const wordings: Readonly<Record<Verdict, Wording>> = {
  eligible,
  full: (entry) => `all ${entry.maxInFlight} slots in use`,
  backing_off: (entry, input) =>
    entry.backOffUntilMs > input.nowMs
      ? `said it is busy, asked again in ${secondsUntil(entry.backOffUntilMs, input.nowMs)}`
      : 'was not as last seen, is being looked at',
  probing: () => 'a request probes whether it has recovered',
  silent: () => 'is late with its answer to a look',
  down: ({ node }) => (node.reach === 'unknown' ? 'not polled yet' : `unreachable: ${node.downReason ?? 'no answer'}`),
  excluded: () => 'has had this request already',
  draining: () => 'draining',
  circuit_open: ({ node }, input) =>
    `failed requests in a row, tried again in ${secondsUntil(circuitOpensMs(node.circuit), input.nowMs)}`,
  not_loaded: (entry) => `model ${entry.operation === null ? entry.status : `${entry.operation}ing`}`,
  closing: (entry) =>
    entry.closingFor === entry.id ? 'model is being unloaded' : `makes room for ${entry.closingFor ?? ''}`,
  unservable: (entry) => `not servable: ${entry.servableReason ?? 'no reason given'}`,
  poisoned: (entry) => `device ${entry.devices.join(', ')} poisoned`,
  no_vision: () => 'no vision',
  context: (entry, input) => `context ${entry.contextMax} < ${input.tokensMin}`,
};

/** `model loaded, 2 of 8 in flight`, `context 4096 < 9000`: for people. */
export const describeVerdict = (entry: ModelOnNode, verdict: Verdict, input: PickInput): string =>
  wordings[verdict](entry, input);
