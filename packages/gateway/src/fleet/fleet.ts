/**
 * The fleet's doer: hands events to the run loop one at a time and carries out what comes back. It decides nothing and
 * remembers only whom to tell.
 */
import {
  CortexError,
  type CatalogueModel,
  type FleetSnapshot,
  type LoadRequest,
  type RouteExplanation,
} from '@cortex/core';
import { listModels, resolveIn } from '../routing/catalogue.ts';
import { systemClock, type Clock } from './clock.ts';
import type {
  Fleet,
  FleetControl,
  Lease,
  LeaseOutcome,
  LeaveSignal,
  LoadOptions,
  PinOptions,
  RouteRequest,
  Target,
  UnloadOptions,
  WaitProgress,
} from './contract.ts';
import type { FleetEffect, FleetEvent, Grant } from './events.ts';
import type { FleetConfig, NodeConfig } from './fleet-config.ts';
import { FleetState } from './fleet-state.ts';
import { connectNode, type NodeClient } from './node-client.ts';
import type { FleetNotice } from './notices.ts';
import { Poller } from './poller.ts';
import { takeSnapshot } from './snapshot.ts';

export interface FleetOptions {
  readonly onNotice?: (notice: FleetNotice) => void;
  readonly clock?: Clock;
  /** 0..1. */
  readonly random?: () => number;
  readonly connect?: (node: NodeConfig) => NodeClient;
  /** Our name in `Via`, towards other gateways. */
  readonly via?: string;
}

/** A load is answered when it is taken, an unload when the memory is free: the node may first let requests end. */
const acceptTimeoutMs = 30_000;
const unloadTimeoutMs = 120_000;
const waitingUnloadTimeoutMs = 6 * 3_600_000;

type Answer = Extract<FleetEffect, { kind: 'grant' | 'loaded' | 'unloaded' }>;

interface Pending {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (reason: unknown) => void;
  readonly onProgress: ((progress: WaitProgress) => void) | undefined;
}

export class LiveFleet implements Fleet, FleetControl {
  readonly #config: FleetConfig;
  readonly #clock: Clock;
  readonly #state: FleetState;
  readonly #clients: ReadonlyMap<string, NodeClient>;
  readonly #poller: Poller;
  readonly #onNotice: (notice: FleetNotice) => void;
  readonly #pending = new Map<number, Pending>();
  /** By ticket. */
  readonly #hangListeners = new Map<number, (sinceMs: number) => void>();
  readonly #inbox: FleetEvent[] = [];
  #handling = false;
  #tickets = 0;
  #cancelTick: () => void = () => undefined;

  constructor(config: FleetConfig, options: FleetOptions = {}) {
    const { clock = systemClock, random = Math.random, via = 'cortex' } = options;
    const { connect = (node: NodeConfig) => connectNode(node, via) } = options;
    this.#config = config;
    this.#clock = clock;
    this.#state = new FleetState(config, random);
    this.#clients = new Map(config.nodes.map((node) => [node.name, connect(node)]));
    this.#poller = new Poller(this.#clients, config.poll, clock, random, (event) => this.#dispatch(event));
    this.#onNotice = options.onNotice ?? (() => undefined);
  }

  /** Begins to look at the nodes. Requests may come before: they wait for the first looks. */
  start(): void {
    this.#poller.start();
    this.#scheduleTick();
  }

  async acquire(
    request: RouteRequest,
    signal: LeaveSignal,
    onProgress?: (progress: WaitProgress) => void,
  ): Promise<Lease> {
    const answer = await this.#ask((ticket) => ({ kind: 'acquire', ticket, request }), signal, onProgress);
    if (answer.kind !== 'grant') throw new CortexError('internal_error', `a lease ended in ${answer.kind}`);
    return this.#lease(answer.ticket, answer.grant);
  }

  locate(request: RouteRequest): Target {
    return this.#state.locate(request, this.#clock.now());
  }

  explain(request: RouteRequest): RouteExplanation {
    return this.#state.explain(request, this.#clock.now());
  }

  snapshot(): FleetSnapshot {
    return takeSnapshot(this.#state.data, this.#clock.now());
  }

  nodeCounts(): { readonly up: number; readonly total: number } {
    const nodes = [...this.#state.data.nodes.values()];
    return { up: nodes.filter((node) => node.reach === 'up').length, total: nodes.length };
  }

  models(asking?: ReadonlySet<string>): readonly CatalogueModel[] {
    return listModels(this.#state.data.topology, asking);
  }

  nodesAmong(gateways: ReadonlySet<string>): ReadonlySet<string> {
    const nodes = [...this.#state.data.nodes.values()].filter(({ models }) => {
      // All that a gateway lists is reached through itself first.
      for (const { via } of models.values()) return gateways.has(via[0] ?? '');
      return false;
    });
    return new Set(nodes.map(({ name }) => name));
  }

  async load(model: string, options: LoadOptions): Promise<{ readonly node: string }> {
    const node = options.node ?? null;
    const answer = await this.#ask((ticket) => ({ kind: 'load', ticket, name: model, node }), options.signal);
    if (answer.kind !== 'loaded') throw new CortexError('internal_error', `a load ended in ${answer.kind}`);
    return { node: answer.node };
  }

  async unload(model: string, options: UnloadOptions): Promise<{ readonly nodes: readonly string[] }> {
    const { mode = 'refuse' } = options;
    const node = options.node ?? null;
    const answer = await this.#ask((ticket) => ({ kind: 'unload', ticket, name: model, node, mode }));
    if (answer.kind !== 'unloaded') throw new CortexError('internal_error', `an unload ended in ${answer.kind}`);
    return { nodes: answer.nodes };
  }

  drain(node: string): void {
    this.#knowNode(node);
    this.#dispatch({ kind: 'drain', node });
  }

  undrain(node: string): void {
    this.#knowNode(node);
    this.#dispatch({ kind: 'undrain', node });
  }

  pin(model: string, pinned: boolean, options: PinOptions): { readonly nodes: readonly string[] } {
    const { node } = options;
    if (node !== undefined) this.#knowNode(node);
    const { topology } = this.#state.data;
    const id = resolveIn(topology, model) ?? model;
    const nodes = (topology.byModel.get(id) ?? [])
      .filter((entry) => (node === undefined ? !pinned || entry.status === 'loaded' : entry.node.name === node))
      .map((entry) => entry.node.name);
    if (nodes.length === 0) {
      const where = node === undefined ? 'loaded anywhere' : `on node ${node}`;
      throw new CortexError('model_not_found', `'${model.slice(0, 256)}' is not ${where}.`, { param: 'model_id' });
    }
    for (const name of nodes) this.#dispatch({ kind: 'pin', node: name, model: id, pinned });
    return { nodes };
  }

  async close(): Promise<void> {
    this.#cancelTick();
    this.#poller.close();
    this.#dispatch({ kind: 'close' });
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
  }

  #knowNode(node: string): void {
    if (!this.#clients.has(node)) throw new CortexError('not_found', `There is no node '${node.slice(0, 64)}'.`);
  }

  #lease(ticket: number, grant: Grant): Lease {
    return {
      ...grant,
      whenHanging: (listener) => void this.#hangListeners.set(ticket, listener),
      release: (outcome: LeaseOutcome) => {
        this.#hangListeners.delete(ticket);
        this.#dispatch({ kind: 'release', ticket, outcome });
      },
    };
  }

  /** One ticket's way through the run loop: its answer, its refusal, or its caller's leaving, whichever comes first. */
  #ask(
    event: (ticket: number) => FleetEvent,
    signal?: LeaveSignal,
    onProgress?: (progress: WaitProgress) => void,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      this.#tickets += 1;
      const ticket = this.#tickets;
      const leave = (): void => this.#forget(ticket, signal?.reason);
      const stay = (): void => signal?.removeEventListener('abort', leave);
      this.#pending.set(ticket, {
        onProgress,
        resolve: (answer) => {
          stay();
          resolve(answer);
        },
        reject: (reason) => {
          stay();
          reject(reason instanceof Error ? reason : new CortexError('client_closed_request', 'The client left.'));
        },
      });
      this.#dispatch(event(ticket));
      // Most are answered by now: only who waits is listened to.
      if (this.#pending.has(ticket)) signal?.addEventListener('abort', leave);
    });
  }

  #forget(ticket: number, reason: unknown): void {
    this.#settle(ticket)?.reject(reason);
    this.#dispatch({ kind: 'cancel', ticket });
  }

  #settle(ticket: number): Pending | undefined {
    const pending = this.#pending.get(ticket);
    this.#pending.delete(ticket);
    return pending;
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#clock.after(this.#config.tickMs, () => {
      this.#dispatch({ kind: 'tick' });
      this.#scheduleTick();
    });
  }

  /** Effects may dispatch again: those events wait their turn. */
  #dispatch(event: FleetEvent): void {
    this.#inbox.push(event);
    if (this.#handling) return;
    this.#handling = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift())
        for (const effect of this.#state.handle(next, this.#clock.now())) this.#perform(effect);
    } finally {
      this.#handling = false;
    }
  }

  #perform(effect: FleetEffect): void {
    switch (effect.kind) {
      case 'grant':
      case 'loaded':
      case 'unloaded':
        return this.#settle(effect.ticket)?.resolve(effect);
      case 'reject':
        return this.#settle(effect.ticket)?.reject(effect.error);
      case 'progress':
        return this.#tell(effect.ticket, effect.progress);
      case 'start_load':
        return this.#startLoad(effect.plan, effect.node, effect.request);
      case 'start_unload':
        return this.#startUnload(effect);
      case 'hangs':
        return this.#hangListeners.get(effect.ticket)?.(effect.sinceMs);
      case 'poll':
        return this.#poller.pollNow(effect.node);
      case 'notice':
        return this.#onNotice(effect.notice);
    }
  }

  /** A caller that can't hear of progress has left. */
  #tell(ticket: number, progress: WaitProgress): void {
    try {
      this.#pending.get(ticket)?.onProgress?.(progress);
    } catch (thrown) {
      this.#forget(ticket, thrown);
    }
  }

  #client(node: string): NodeClient {
    const client = this.#clients.get(node);
    if (client === undefined) throw new CortexError('internal_error', `no client for node ${node}`);
    return client;
  }

  #startLoad(plan: number, node: string, request: LoadRequest): void {
    void this.#deadline(acceptTimeoutMs, (signal) => this.#client(node).load(request, signal)).then(
      () => this.#dispatch({ kind: 'load_accepted', plan }),
      (thrown: unknown) => this.#dispatch({ kind: 'load_failed', plan, error: CortexError.from(thrown) }),
    );
  }

  #startUnload({ operation, node, modelId, mode }: Extract<FleetEffect, { kind: 'start_unload' }>): void {
    const timeoutMs = mode === 'wait' ? waitingUnloadTimeoutMs : unloadTimeoutMs;
    void this.#deadline(timeoutMs, (signal) => this.#client(node).unload(modelId, mode, signal)).then(
      () => this.#dispatch({ kind: 'unloaded', operation }),
      (thrown: unknown) => this.#dispatch({ kind: 'unload_failed', operation, error: CortexError.from(thrown) }),
    );
  }

  async #deadline(ms: number, call: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const abort = new AbortController();
    const cancel = this.#clock.after(ms, () => abort.abort());
    try {
      await call(abort.signal);
    } finally {
      cancel();
    }
  }
}
