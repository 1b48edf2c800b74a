/** Whose turn it is, between callers who know nothing of each other: pure decisions over what waits and runs. */

export interface Caller {
  /** An opaque name; requests of one share what all of that name have. */
  readonly client: string;
  /** Larger goes first. */
  readonly priority: number;
}

export interface InLine {
  readonly caller: Caller;
  readonly waitedMs: number;
}

/** A request rises by one priority for each such time it has waited: nobody starves. */
const agingMs = 10_000;

/** Of a request now. */
const urgency = ({ caller, waitedMs }: InLine): number => caller.priority + Math.floor(waitedMs / agingMs);

/**
 * Index of the one to begin next: of the highest priority (waiting raises it), of the client with the fewest sequences
 * running, the oldest. -1 when nobody waits.
 * @param waiting oldest first
 */
export const nextInLine = (waiting: readonly InLine[], running: readonly Caller[]): number => {
  const nRunning = new Map<string, number>();
  for (const { client } of running) nRunning.set(client, (nRunning.get(client) ?? 0) + 1);
  let best = -1;
  let bestRank: readonly [number, number] = [-Infinity, Infinity];
  waiting.forEach((one, i) => {
    const rank = [urgency(one), nRunning.get(one.caller.client) ?? 0] as const;
    if (rank[0] < bestRank[0] || (rank[0] === bestRank[0] && rank[1] >= bestRank[1])) return;
    best = i;
    bestRank = rank;
  });
  return best;
};

/** The same items, those of the client just served behind all others; each client's own keep their order. */
export const afterServing = <T extends { readonly caller: Caller }>(items: readonly T[], client: string): T[] => [
  ...items.filter(({ caller }) => caller.client !== client),
  ...items.filter(({ caller }) => caller.client === client),
];

/** The same items, the more urgent before the less; equally urgent ones keep their order. */
export const urgentFirst = <T extends InLine>(items: readonly T[]): T[] =>
  items.toSorted((a, b) => urgency(b) - urgency(a));
