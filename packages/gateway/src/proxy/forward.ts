/**
 * The main path of a request: lease a node, send it the request, pass its answer on; and as long as the client has
 * seen nothing of an answer, take another node when one fails. Invariant: every lease is released exactly once, with
 * what happened on it.
 */
import { CortexError, sseComment, type RouteExplanation, type RoutingDecision } from '@cortex/core';
import type { Fleet, Lease, RouteRequest, WaitProgress } from '../fleet/contract.ts';
import type { RoutingDecisions } from '../observe/routing-decisions.ts';
import type { JsonObject } from '../translate/contract.ts';
import type { Exchange } from './exchange.ts';
import { foldedFor } from './fold-request.ts';
import { forwardBody } from './forward-body.ts';
import { forwardHeaders } from './hop-headers.ts';
import { failsOver, fromTransport, isStaleView, outcomeOf } from './node-errors.ts';
import type { NodePools } from './node-pools.ts';
import type { Relay } from './relay.ts';
import { StreamRelay } from './relay-stream.ts';
import { WholeRelay } from './relay-whole.ts';
import { withInlinedImages } from './request-facts.ts';
import type { RemoteImages } from './remote-images.ts';
import type { ProxySettings } from './settings.ts';
import { WaitClock } from './wait-clock.ts';

export interface ProxyParts {
  readonly fleet: Fleet;
  readonly pools: NodePools;
  readonly images: RemoteImages;
  readonly settings: ProxySettings;
  /** Told of every decision. */
  readonly decisions: RoutingDecisions;
  /** Our name in `Via`. */
  readonly via: string;
}

export const routeRequest = (exchange: Exchange, excludedNodes: ReadonlySet<string>): RouteRequest => {
  const { facts, caller } = exchange;
  return {
    model: facts.model,
    needsVision: facts.needsVision,
    tokensMin: facts.tokensMin,
    ...(facts.affinityKey === undefined ? {} : { affinityKey: facts.affinityKey }),
    clientId: caller.clientId,
    priority: caller.priority,
    excludedNodes,
  };
};

/** Links are fetched only for a request that could be served, and once, however many nodes are tried. */
const requestToForward = async (parts: ProxyParts, exchange: Exchange): Promise<JsonObject> => {
  const { request } = exchange.translation;
  const { imageUrls } = exchange.facts;
  if (imageUrls.length === 0) return request;
  const route = routeRequest(exchange, exchange.passedNodes);
  if (parts.fleet.explain(route).action === 'refuse') {
    // Throws why, with all its facts; unless the fleet has changed just now.
    const lease = await parts.fleet.acquire(route, exchange.reply.signal);
    lease.release({ kind: 'client' });
  }
  return withInlinedImages(request, await parts.images.fetchAll(imageUrls, exchange.reply.signal.toAbortSignal()));
};

/** Of every answer: where it comes from, and what it waited for. */
export const routeHeaders = ['x-cortex-node', 'x-cortex-cold-start', 'x-cortex-queue-ms', 'x-cortex-load-ms'] as const;

const announce = (exchange: Exchange, lease: Lease): void => {
  const { reply, record, streams } = exchange;
  const values = {
    'x-cortex-node': lease.target.node,
    'x-cortex-cold-start': String(lease.coldStart),
    'x-cortex-queue-ms': String(Math.round(record.queueMs)),
    'x-cortex-load-ms': String(Math.round(record.loadMs)),
  };
  // What keepalives have opened can't have headers any more.
  if (reply.opened && streams) {
    reply.write(sseComment(routeHeaders.map((name) => `${name}=${values[name]}`).join(' ')));
    return;
  }
  for (const name of routeHeaders) {
    if (!reply.opened) reply.header(name, values[name]);
    reply.trailer(name, values[name]);
  }
};

/** What was announced does not hold: another node may be waited for, and a keepalive open the stream meanwhile. */
const withdraw = (exchange: Exchange): void => {
  for (const name of routeHeaders) exchange.reply.dropHeader(name);
};

type Decided = { readonly lease: Lease } | { readonly error: CortexError };

const decisionOf = (exchange: Exchange, explanation: RouteExplanation | null, decided: Decided): RoutingDecision => {
  const { requestId, caller, facts, record } = exchange;
  const lease = 'lease' in decided ? decided.lease : null;
  const error = 'error' in decided ? decided.error : null;
  const refused = error?.code === 'client_closed_request' ? 'cancelled' : 'refused';
  return {
    at: Date.now(),
    request_id: requestId,
    client: caller.clientId,
    asked: facts.model.slice(0, 256),
    model: lease === null ? record.model : lease.target.modelId,
    attempt: record.nAttempts + 1,
    outcome: error === null ? 'granted' : refused,
    node: lease === null ? null : lease.target.node,
    cold_start: lease?.coldStart ?? false,
    queue_ms: lease?.queueMs ?? 0,
    load_ms: lease?.loadMs ?? 0,
    error: error === null ? null : { code: error.code, message: error.message },
    explanation,
  };
};

const acquire = async (parts: ProxyParts, exchange: Exchange, excluded: ReadonlySet<string>): Promise<Lease> => {
  const { reply, record } = exchange;
  const clock = new WaitClock();
  const note = (progress: WaitProgress): void => {
    record.wait = progress;
    clock.note(progress);
    reply.note(progress);
  };
  const route = routeRequest(exchange, excluded);
  // The decision that follows is taken in this same turn.
  const explanation = parts.decisions.explain(() => parts.fleet.explain(route));
  let lease: Lease;
  try {
    lease = await parts.fleet.acquire(route, reply.signal, note);
  } catch (thrown) {
    const { queueMs, loadMs } = clock.stop();
    record.queueMs += queueMs;
    record.loadMs += loadMs;
    record.model ??= parts.fleet.explain(route).resolvedModel;
    parts.decisions.add(decisionOf(exchange, explanation, { error: CortexError.from(thrown) }));
    throw thrown;
  }
  parts.decisions.add(decisionOf(exchange, explanation, { lease }));
  record.atNode = true;
  record.nAttempts += 1;
  record.model = lease.target.modelId;
  record.node = lease.target.node;
  record.coldStart ||= lease.coldStart;
  record.queueMs += lease.queueMs;
  record.loadMs += lease.loadMs;
  reply.note({ kind: 'prefill', text: null });
  announce(exchange, lease);
  return lease;
};

/** Nodes that may be excluded before one more would be too many. */
const attemptsMax = (parts: ProxyParts, { passedNodes }: Exchange): number =>
  parts.settings.attemptsMax + passedNodes.size;

/** Whether the request could be somewhere else than at this node, by now or after a load. */
const couldMove = (parts: ProxyParts, exchange: Exchange, excluded: ReadonlySet<string>, node: string): boolean => {
  if (excluded.size + 1 >= attemptsMax(parts, exchange)) return false;
  const { action } = parts.fleet.explain(routeRequest(exchange, new Set([...excluded, node])));
  return action === 'forward' || action === 'load' || action === 'evict_and_load';
};

/** @returns null when the client has its answer, or the error for which another node may be tried. @throws the rest. */
const tryNode = async (
  parts: ProxyParts,
  exchange: Exchange,
  lease: Lease,
  request: JsonObject,
  excluded: ReadonlySet<string>,
): Promise<CortexError | null> => {
  const { node, endpoint, modelId, token = null } = lease.target;
  const { requestId, record, reply } = exchange;
  const relay: Relay = exchange.streams
    ? new StreamRelay(exchange, parts.settings, node)
    : new WholeRelay(exchange, parts.settings, node);
  lease.whenHanging((sinceMs) => relay.doubt(sinceMs, () => couldMove(parts, exchange, excluded, node)));
  try {
    reply.signal.throwIfAborted();
    const headers = forwardHeaders(exchange.headers, { via: parts.via, requestId, token, caller: exchange.caller });
    const body = forwardBody(exchange, request, modelId);
    const path = exchange.dialect.upstreamPath;
    await relay.run((sink) => parts.pools.post({ node, endpoint, path, headers, body }, sink));
    lease.release({ kind: 'done', completionTokens: record.tokens?.completion ?? 0, decodeMs: record.decodeMs });
    return null;
  } catch (thrown) {
    const error = fromTransport(thrown, node);
    record.atNode = false;
    record.wait = null;
    lease.release(outcomeOf(error));
    const mayAgain = failsOver(error) || foldedFor(lease.target, exchange, request, error) !== null;
    if (relay.committed || reply.signal.aborted || !mayAgain) throw error;
    withdraw(exchange);
    return error;
  }
};

/**
 * Resolves when the client has its whole answer. @throws CortexError otherwise: before `reply.opened` it becomes a
 * status, after it the protocol's own error in the stream.
 */
export const forward = async (parts: ProxyParts, exchange: Exchange): Promise<void> => {
  let request = await requestToForward(parts, exchange);
  const excluded = new Set(exchange.passedNodes);
  const lookedAt = new Set<string>();
  let failure: CortexError | null = null;
  while (excluded.size < attemptsMax(parts, exchange)) {
    let lease: Lease;
    try {
      lease = await acquire(parts, exchange, excluded);
    } catch (thrown) {
      // "No node is left" is the consequence; why the last one failed is the news, unless that was a stale view.
      const isNews = failure !== null && !isStaleView(failure) && !exchange.reply.signal.aborted;
      throw isNews ? failure : thrown;
    }
    failure = await tryNode(parts, exchange, lease, request, excluded);
    if (failure === null) return;
    const folded = foldedFor(lease.target, exchange, request, failure);
    if (folded !== null) {
      request = folded;
      continue;
    }
    const { node } = lease.target;
    // The fleet looks at it again: it may load what it no longer has. Whoever errs twice is left alone.
    if (isStaleView(failure) && !lookedAt.has(node)) lookedAt.add(node);
    else excluded.add(node);
  }
  if (failure !== null) throw failure;
};
