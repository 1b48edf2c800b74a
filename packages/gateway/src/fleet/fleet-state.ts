/**
 * The fleet's run loop: one event in, its effects out, nothing awaited in between. Everything that is decided is
 * decided here, on state that only this turn can change; the doer carries the effects out and reports back as events.
 */
import { CortexError, type RouteExplanation } from '@cortex/core';
import { circuitFailed, circuitSucceeded } from '../routing/circuit.ts';
import { resolveIn } from '../routing/catalogue.ts';
import { explainRoute, explainUnknown } from '../routing/explain-route.ts';
import { unknownModel, refuseRequest } from '../routing/refusals.ts';
import { isPinned } from '../routing/residency.ts';
import { applyPoll } from './apply-poll.ts';
import type { LeaseOutcome, RouteRequest, Target } from './contract.ts';
import { inFlightOn, noticeDrained } from './drains.ts';
import type { FleetEffect, FleetEvent, PollResult } from './events.ts';
import type { FleetConfig } from './fleet-config.ts';
import { FleetData, type ModelRecord, type NodeRecord } from './fleet-data.ts';
import { enforceDeadlines, noticeProgress, tellProgress, unloadIdle } from './housekeeping.ts';
import { locateTokenizer } from './locate-tokenizer.ts';
import { advancePlan, dropPlan, failPlan, freeOn, pollPlan, tickPlan } from './plans.ts';
import type { Waiter } from './request-queue.ts';
import { admit, reconsiderDrain, resolveWaiting, serveAndPlace, serveAtOnce, serveWaiting } from './serve-queue.ts';
import { askUnload, unloaded, unloadFailed } from './unloads.ts';

/** Looks in a row that a node may leave unanswered: one may fall into a pause of a machine that is only busy. */
const unansweredMax = 2;

/** The model is left alone there for a moment. */
const isBusy: ReadonlySet<string> = new Set(['rate_limit_exceeded', 'overloaded']);

/**
 * How busy a node is, or what it knows better than our picture of it, so that the model is left alone there until a poll
 * has brought the news: these say nothing about its health.
 */
const noFailure: ReadonlySet<string> = new Set([
  ...isBusy,
  'model_loading',
  'model_busy',
  'insufficient_vram',
  'model_not_found',
  'not_found',
  'device_poisoned',
]);

export class FleetState {
  readonly #data: FleetData;

  /** @param random 0..1, for jitter */
  constructor(config: FleetConfig, random: () => number) {
    this.#data = new FleetData(config, random);
  }

  /** For views of it (snapshot, listings); only `handle` writes. */
  get data(): Readonly<FleetData> {
    return this.#data;
  }

  /** @param nowMs never less than in the call before */
  handle(event: FleetEvent, nowMs: number): readonly FleetEffect[] {
    const data = this.#data;
    data.nowMs = nowMs;
    data.out = [];
    this.#take(event);
    return data.out;
  }

  /** @throws CortexError why nobody can count this request's tokens now. */
  locate(request: RouteRequest, nowMs: number): Target {
    const data = this.#data;
    data.nowMs = nowMs;
    return locateTokenizer(data, request);
  }

  /** The decision this request would meet now; nothing is done. */
  explain(request: RouteRequest, nowMs: number): RouteExplanation {
    const data = this.#data;
    data.nowMs = nowMs;
    const modelId = resolveIn(data.topology, request.model);
    if (modelId === null) return explainUnknown(request.model, unknownModel(data.topology, request.model));
    const demand = {
      modelId,
      needsVision: request.needsVision,
      tokensMin: request.tokensMin,
      excludedNodes: request.excludedNodes,
      affinity: data.affinity(modelId, request.affinityKey ?? null),
      arrival: data.lastTicket + 1,
      waitMs: 0,
      onlyNode: null,
    };
    const refusal = refuseRequest(data.topology, modelId, request);
    return explainRoute(data.placementContext(), request.model, demand, refusal);
  }

  #take(event: FleetEvent): void {
    const data = this.#data;
    switch (event.kind) {
      case 'acquire':
        return this.#acquire(requestWaiter(data, event.ticket, event.request));
      case 'load':
        return this.#load(event);
      case 'unload':
        data.lastTicket = event.ticket;
        askUnload(data, event);
        return serveAndPlace(data);
      case 'cancel':
        return this.#cancel(event.ticket);
      case 'release':
        return this.#release(event.ticket, event.outcome);
      case 'drain':
        return this.#drain(event.node);
      case 'undrain':
        return this.#undrain(event.node);
      case 'pin':
        return this.#pin(event.node, event.model, event.pinned);
      case 'polled':
        return this.#polled(event.node, event.result);
      case 'poll_late':
        return this.#pollLate(event.node);
      case 'poll_failed':
        return this.#pollFailed(event);
      case 'load_accepted':
        return this.#loadAccepted(event.plan);
      case 'load_failed':
        return this.#loadFailed(event.plan, event.error);
      case 'unloaded':
        unloaded(data, event.operation);
        return serveAndPlace(data);
      case 'unload_failed':
        unloadFailed(data, event.operation, event.error);
        return serveAndPlace(data);
      case 'tick':
        return this.#tick();
      case 'close':
        return this.#close();
    }
  }

  #acquire(waiter: Waiter): void {
    const data = this.#data;
    data.lastTicket = waiter.ticket;
    const error = data.closed ? shuttingDown() : admit(data, waiter);
    if (error !== null) return this.#reject(waiter.ticket, error);
    // Those who wait already could not be served: a newcomer takes nothing from them.
    if (data.queue.count(waiter.modelId) === 0 && serveAtOnce(data, waiter)) return;
    this.#enqueue(waiter);
  }

  #load({ ticket, name, node }: Extract<FleetEvent, { kind: 'load' }>): void {
    const data = this.#data;
    data.lastTicket = ticket;
    if (node !== null && !data.nodes.has(node))
      return this.#reject(ticket, new CortexError('not_found', `There is no node '${node}'.`));
    const waiter = loadWaiter(data, ticket, name, node);
    const error = data.closed ? shuttingDown() : admit(data, waiter);
    if (error !== null) return this.#reject(ticket, error);
    data.book.forgive(waiter.modelId);
    this.#enqueue(waiter);
  }

  #enqueue(waiter: Waiter): void {
    const data = this.#data;
    const displaced = data.queue.add(waiter);
    if (displaced !== null) {
      const message = `${data.queue.max} requests are waiting already.`;
      this.#reject(
        displaced.ticket,
        new CortexError('rate_limit_exceeded', message, { facts: { limit: data.queue.max }, retryAfterSecs: 5 }),
      );
    }
    if (displaced === waiter) return;
    serveAndPlace(data);
    if (data.queue.find(waiter.ticket) !== null) tellProgress(data, waiter);
  }

  #reject(ticket: number, error: CortexError): void {
    this.#data.emit({ kind: 'reject', ticket, error });
  }

  #cancel(ticket: number): void {
    const data = this.#data;
    data.unloads.delete(ticket);
    const waiter = data.queue.find(ticket);
    if (waiter === null) return;
    data.queue.remove(waiter);
    serveAndPlace(data);
  }

  #release(ticket: number, outcome: LeaseOutcome): void {
    const data = this.#data;
    const lease = data.leases.get(ticket);
    if (lease === undefined) return;
    data.leases.delete(ticket);
    data.queue.ended(lease.clientId);
    const { entry } = lease;
    entry.leases -= 1;
    entry.lastUsedMs = data.nowMs;
    this.#learn(entry, outcome);
    noticeDrained(data, entry.node);
    for (const plan of data.plans.values()) if (plan.victims.has(entry)) advancePlan(data, plan);
    serveAndPlace(data);
  }

  /** What a request's end says about its node. */
  #learn(entry: ModelRecord, outcome: LeaseOutcome): void {
    const data = this.#data;
    const { node } = entry;
    if (outcome.kind === 'client') return;
    if (outcome.kind === 'done') {
      if (node.circuit.kind !== 'closed') data.notice({ kind: 'circuit_closed', node: node.name });
      node.circuit = circuitSucceeded(node.circuit);
      return;
    }
    const { error } = outcome;
    data.poll(node.name);
    if (noFailure.has(error.code)) {
      if (!isBusy.has(error.code)) entry.doubtedMs = data.nowMs;
      entry.backOffUntilMs = data.nowMs + (error.retryAfterSecs ?? 1) * 1000;
    } else {
      const before = node.circuit;
      node.circuit = circuitFailed(before, data.config.circuit, data.nowMs, data.random());
      if (before.kind !== 'open' && node.circuit.kind === 'open')
        data.notice({ kind: 'circuit_opened', node: node.name, error });
    }
  }

  #drain(name: string): void {
    const data = this.#data;
    const node = data.nodes.get(name);
    if (node === undefined || node.drainedFrom !== null) return;
    node.drainedFrom = data.lastTicket + 1;
    data.notice({ kind: 'draining', node: name, inFlight: inFlightOn(node) });
    noticeDrained(data, node);
    serveAndPlace(data);
  }

  #undrain(name: string): void {
    const node = this.#data.nodes.get(name);
    if (node === undefined || node.drainedFrom === null) return;
    node.drainedFrom = null;
    node.drained = false;
    this.#data.notice({ kind: 'undrained', node: name });
    serveAndPlace(this.#data);
  }

  #pin(nodeName: string, model: string, pinned: boolean): void {
    const data = this.#data;
    const record = data.nodes.get(nodeName)?.models.get(model);
    if (record === undefined || isPinned(data.profiles.get(model), record) === pinned) return;
    record.pin = pinned;
    // What has not begun to leave stays after all.
    for (const plan of data.plans.values())
      if (pinned && plan.phase === 'draining' && plan.victims.get(record) === 'draining') dropPlan(data, plan);
    data.notice({ kind: pinned ? 'pinned' : 'unpinned', node: nodeName, model });
    serveAndPlace(data);
  }

  #polled(name: string, result: PollResult): void {
    const data = this.#data;
    const node = data.nodes.get(name);
    if (node === undefined || data.closed) return;
    const wasUnseen = node.polledMs === -Infinity;
    const { changed, nowLoaded, restarted } = applyPoll(data, node, result);
    data.book.looked(node.name, result.startedMs, (devices) => freeOn(node, devices), data.nowMs);
    if (restarted) loseWorkOn(data, node, 'the node was restarted');
    for (const record of nowLoaded) creditLoad(data, record);
    for (const plan of data.plans.values()) if (plan.node === node) pollPlan(data, plan, result.startedMs);
    for (const record of nowLoaded) record.loadingSinceMs = null;
    if (wasUnseen) resolveWaiting(data);
    if (changed) serveAndPlace(data);
    else serveWaiting(data);
  }

  #pollLate(name: string): void {
    const node = this.#data.nodes.get(name);
    if (node !== undefined && node.reach === 'up') node.silent = true;
  }

  #pollFailed({ node: name, reason, startedMs, unanswered }: Extract<FleetEvent, { kind: 'poll_failed' }>): void {
    const data = this.#data;
    const node = data.nodes.get(name);
    if (node === undefined || data.closed) return;
    const before = node.reach;
    node.reach = 'down';
    node.silent = false;
    node.downReason = reason;
    if (node.nUnanswered === 0) node.unansweredMs = startedMs;
    node.nUnanswered = unanswered ? node.nUnanswered + 1 : 0;
    if (before !== 'down') node.downSinceMs = data.nowMs;
    if (before !== 'down') data.notice({ kind: 'node_down', node: name, reason });
    if (before === 'up') loseWorkOn(data, node, `the node was lost: ${reason}`);
    if (before !== 'down') serveAndPlace(data);
    this.#tellOfHanging(node);
  }

  /** What has been given to a node that hangs may be given to another, if not now then as soon as one is free. */
  #tellOfHanging(node: NodeRecord): void {
    const data = this.#data;
    if (node.nUnanswered < unansweredMax) return;
    for (const [ticket, { entry }] of data.leases)
      if (entry.node === node) data.emit({ kind: 'hangs', ticket, sinceMs: node.unansweredMs });
  }

  #loadAccepted(id: number): void {
    for (const plan of this.#data.plans.values()) {
      if (plan.id !== id) continue;
      plan.acceptedMs ??= this.#data.nowMs;
      this.#data.poll(plan.node.name);
    }
  }

  #loadFailed(id: number, error: CortexError): void {
    const data = this.#data;
    for (const plan of data.plans.values()) {
      if (plan.id !== id) continue;
      if (error.code === 'upstream_disconnected' || error.code === 'upstream_timeout') {
        // It may be loading all the same, so its memory stays reserved until the next poll tells.
        this.#loadAccepted(id);
      } else failPlan(data, plan, error);
    }
    serveAndPlace(data);
  }

  #tick(): void {
    const data = this.#data;
    enforceDeadlines(data);
    resolveWaiting(data);
    const plans = [...data.plans.values()];
    for (const plan of plans) reconsiderDrain(data, plan);
    for (const plan of data.plans.values()) tickPlan(data, plan);
    unloadIdle(data);
    serveAndPlace(data);
    for (const node of data.nodes.values()) {
      noticeDrained(data, node);
      this.#tellOfHanging(node);
    }
    tellProgress(data, null);
    noticeProgress(data);
  }

  #close(): void {
    const data = this.#data;
    data.closed = true;
    for (const waiter of data.queue.all()) {
      data.queue.remove(waiter);
      this.#reject(waiter.ticket, shuttingDown());
    }
    for (const ticket of data.unloads.keys()) this.#reject(ticket, shuttingDown());
    data.unloads.clear();
  }
}

const shuttingDown = (): CortexError => new CortexError('no_healthy_node', 'The gateway is shutting down.');

/**
 * Nobody can tell what becomes of unloads and of what makes room there. Loads are left to the polls: one may go on
 * behind a network that blinked, or have reached the new process already.
 */
const loseWorkOn = (data: FleetData, node: NodeRecord, reason: string): void => {
  for (const plan of data.plans.values()) if (plan.node === node && plan.phase !== 'loading') dropPlan(data, plan);
  const error = new CortexError('upstream_disconnected', reason);
  for (const operation of data.operations.values())
    if (operation.entry.node === node) unloadFailed(data, operation.id, error);
};

/** Those who wait for it waited for this load. */
const creditLoad = (data: FleetData, record: ModelRecord): void => {
  const plan = data.plans.get(record.id);
  const sinceMs = plan?.node === record.node ? plan.startedMs : record.loadingSinceMs;
  if (sinceMs === null) return;
  for (const waiter of data.queue.of(record.id)) {
    waiter.coldStart = true;
    waiter.loadMs += data.nowMs - Math.max(waiter.enqueuedMs, sinceMs);
  }
};

// Written out member by member: spreads would double the cost of a warm request.
const requestWaiter = (data: FleetData, ticket: number, request: RouteRequest): Waiter => ({
  ticket,
  purpose: 'request',
  clientId: request.clientId,
  priority: request.priority,
  needsVision: request.needsVision,
  tokensMin: request.tokensMin,
  affinityKey: request.affinityKey ?? null,
  excludedNodes: request.excludedNodes,
  onlyNode: null,
  enqueuedMs: data.nowMs,
  deadlineMs: data.nowMs + data.config.queue.timeoutMs,
  name: request.model,
  modelId: request.model,
  resolved: false,
  coldStart: false,
  loadMs: 0,
  told: '',
});

const loadWaiter = (data: FleetData, ticket: number, name: string, node: string | null): Waiter => ({
  ticket,
  purpose: 'load',
  clientId: '',
  priority: 0,
  needsVision: false,
  tokensMin: 0,
  affinityKey: null,
  excludedNodes: new Set(),
  onlyNode: node,
  enqueuedMs: data.nowMs,
  deadlineMs: data.nowMs + data.config.queue.timeoutMs,
  name,
  modelId: name,
  resolved: false,
  coldStart: false,
  loadMs: 0,
  told: '',
});
