/**
 * Requests that wait for a model: bounded, fair between clients, by priority, and nobody starves. A client is served
 * by its priority plus one for each `agingMs` since it was last served, then by who has least in flight; within one
 * client the oldest of the highest (equally aged) priority goes first.
 */

export interface Waiter {
  /** Order of arrival, and the name of the request in every event. */
  readonly ticket: number;
  /** `load`: an operator wants the model loaded and needs no slot. */
  readonly purpose: 'request' | 'load';
  readonly clientId: string;
  readonly priority: number;
  readonly needsVision: boolean;
  readonly tokensMin: number;
  readonly affinityKey: string | null;
  readonly excludedNodes: ReadonlySet<string>;
  readonly onlyNode: string | null;
  readonly enqueuedMs: number;
  readonly deadlineMs: number;
  /** As it was asked for; `modelId` is the same until it is resolved. */
  readonly name: string;
  modelId: string;
  resolved: boolean;
  /** It waited for a load, this long of its time. */
  coldStart: boolean;
  loadMs: number;
  /** What it was last told, as text, so that it is told only news. */
  told: string;
}

interface Client {
  inFlight: number;
  waiting: number;
  servedMs: number;
}

export class RequestQueue {
  readonly max: number;
  readonly #agingMs: number;
  readonly #byModel = new Map<string, Map<number, Waiter>>();
  readonly #clients = new Map<string, Client>();
  #size = 0;

  constructor(max: number, agingMs: number) {
    this.max = max;
    this.#agingMs = agingMs;
  }

  get size(): number {
    return this.#size;
  }

  /** Models that somebody waits for: the one with the highest aged priority first, then with the oldest request. */
  models(nowMs: number): readonly string[] {
    const models = [...this.#byModel].map(([model, waiters]) => {
      let urgency = -Infinity;
      let first = Infinity;
      for (const waiter of waiters.values()) {
        urgency = Math.max(urgency, this.#aged(waiter, 0, nowMs));
        first = Math.min(first, waiter.ticket);
      }
      return { model, urgency, first };
    });
    return models.toSorted((a, b) => b.urgency - a.urgency || a.first - b.first).map(({ model }) => model);
  }

  /** In order of arrival; removing while iterating is fine. */
  of(modelId: string): Iterable<Waiter> {
    return this.#byModel.get(modelId)?.values() ?? [];
  }

  all(): readonly Waiter[] {
    return [...this.#byModel.values()].flatMap((waiters) => Array.from(waiters.values()));
  }

  count(modelId: string): number {
    return this.#byModel.get(modelId)?.size ?? 0;
  }

  /**
   * @returns who must leave for it: itself when the queue is full, or the newest request of a client that has at least
   * two more waiting; null when there is room.
   */
  add(waiter: Waiter): Waiter | null {
    let displaced: Waiter | null = null;
    if (this.#size >= this.max) {
      displaced = this.#newestOfGreediest(waiter.clientId);
      if (displaced === null) return waiter;
      this.remove(displaced);
    }
    const waiters = this.#byModel.get(waiter.modelId);
    if (waiters === undefined) this.#byModel.set(waiter.modelId, new Map([[waiter.ticket, waiter]]));
    else waiters.set(waiter.ticket, waiter);
    this.#client(waiter.clientId).waiting += 1;
    this.#size += 1;
    return displaced;
  }

  find(ticket: number): Waiter | null {
    for (const waiters of this.#byModel.values()) {
      const waiter = waiters.get(ticket);
      if (waiter !== undefined) return waiter;
    }
    return null;
  }

  remove(waiter: Waiter): void {
    const waiters = this.#byModel.get(waiter.modelId);
    if (waiters === undefined || !waiters.delete(waiter.ticket)) return;
    if (waiters.size === 0) this.#byModel.delete(waiter.modelId);
    this.#size -= 1;
    this.#client(waiter.clientId).waiting -= 1;
    this.#forgetIdle(waiter.clientId);
  }

  /** A request of this client left for a node. */
  served(clientId: string, nowMs: number): void {
    const client = this.#client(clientId);
    client.inFlight += 1;
    client.servedMs = nowMs;
  }

  ended(clientId: string): void {
    this.#client(clientId).inFlight -= 1;
    this.#forgetIdle(clientId);
  }

  /** Whose turn it is among those who wait for the model; `skip` could not be served. */
  next(modelId: string, nowMs: number, skip: ReadonlySet<Waiter>): Waiter | null {
    const first = new Map<string, Waiter>();
    for (const waiter of this.of(modelId)) {
      if (waiter.purpose === 'load' || skip.has(waiter)) continue;
      const rival = first.get(waiter.clientId);
      if (rival === undefined || this.#aged(waiter, 0, nowMs) > this.#aged(rival, 0, nowMs))
        first.set(waiter.clientId, waiter);
    }
    let best: Waiter | null = null;
    for (const waiter of first.values()) if (best === null || this.#isBefore(waiter, best, nowMs)) best = waiter;
    return best;
  }

  #isBefore(a: Waiter, b: Waiter, nowMs: number): boolean {
    const one = this.#client(a.clientId);
    const other = this.#client(b.clientId);
    const byPriority = this.#aged(b, other.servedMs, nowMs) - this.#aged(a, one.servedMs, nowMs);
    return (byPriority || one.inFlight - other.inFlight || one.servedMs - other.servedMs || a.ticket - b.ticket) < 0;
  }

  #aged(waiter: Waiter, servedMs: number, nowMs: number): number {
    return waiter.priority + Math.floor((nowMs - Math.max(waiter.enqueuedMs, servedMs)) / this.#agingMs);
  }

  #newestOfGreediest(newcomer: string): Waiter | null {
    let greediest: string | null = null;
    let most = (this.#clients.get(newcomer)?.waiting ?? 0) + 1;
    for (const [id, { waiting }] of this.#clients) {
      if (waiting <= most) continue;
      greediest = id;
      most = waiting;
    }
    if (greediest === null) return null;
    let newest: Waiter | null = null;
    for (const waiter of this.all())
      if (waiter.clientId === greediest && (newest === null || waiter.ticket > newest.ticket)) newest = waiter;
    return newest;
  }

  #client(id: string): Client {
    const known = this.#clients.get(id);
    if (known !== undefined) return known;
    const client: Client = { inFlight: 0, waiting: 0, servedMs: 0 };
    this.#clients.set(id, client);
    return client;
  }

  #forgetIdle(id: string): void {
    const client = this.#clients.get(id);
    if (client !== undefined && client.inFlight <= 0 && client.waiting <= 0) this.#clients.delete(id);
  }
}
