/**
 * A fleet of simulated neurons around the real run loop, in virtual time: polls, loads and unloads take time, answers
 * come late, nodes die. It knows the truth and throws as soon as an effect would break what the gateway promises.
 */
import {
  CortexError,
  modelsConfigSchema,
  type BrokenGroup,
  type ModelProfile,
  type NodeModel,
  type Sharing,
} from '@cortex/core';
import type { LeaseOutcome, RouteRequest, WaitProgress } from '../../src/fleet/contract.ts';
import type { FleetEffect, FleetEvent, Grant, PollResult, UnloadMode } from '../../src/fleet/events.ts';
import type { FleetConfig } from '../../src/fleet/fleet-config.ts';
import { FleetState } from '../../src/fleet/fleet-state.ts';
import type { FleetNotice } from '../../src/fleet/notices.ts';
import { dealSharing } from '../../src/routing/device-sharing.ts';
import { isPinned } from '../../src/routing/residency.ts';

export interface SimModel {
  readonly id: string;
  readonly mb: number;
  /** What it says it needs; a load that then does not fit is refused by the node. */
  readonly claimsMb?: number;
  /** Of devices that share it; by default it is divided in any way. */
  readonly sharing?: Sharing | undefined;
  readonly slots?: number;
  readonly loadMs?: number;
  readonly capabilities?: readonly string[];
  readonly context?: number;
}

export interface SimNodeSetup {
  readonly name: string;
  readonly deviceMb: readonly number[];
  readonly models: readonly SimModel[];
  readonly loaded?: readonly string[];
}

interface Copy {
  readonly model: SimModel;
  status: NodeModel['status'];
  devices: readonly number[];
  /** Of each of them. */
  mb: readonly number[];
  inFlight: number;
  foreign: number;
  error: string | null;
  idleSinceMs: number;
  /** Unloads that let running requests end. */
  onIdle: (() => void)[];
}

export interface SimNode {
  readonly name: string;
  readonly deviceMb: readonly number[];
  readonly copies: Map<string, Copy>;
  alive: boolean;
  bornMs: number;
  poisoned: Set<number>;
  brokenGroups: BrokenGroup[];
  /** The next loads fail with this. */
  failLoads: CortexError | null;
}

/** Virtual time, and what is due in it. */
class Schedule {
  nowMs = 0;
  readonly tasks: Task[] = [];
  order = 0;
  nGateways = 0;
}

interface Held {
  readonly copy: Copy;
  readonly node: SimNode;
  /** Of the process it reached; null: the model was not loaded there, whatever its gateway thought. */
  readonly bornMs: number | null;
}

export type Ending =
  | { readonly kind: 'grant'; readonly grant: Grant }
  | { readonly kind: 'reject'; readonly error: CortexError }
  | { readonly kind: 'loaded'; readonly node: string }
  | { readonly kind: 'unloaded'; readonly nodes: readonly string[] }
  | { readonly kind: 'cancelled' };

export const profiles = (...models: readonly object[]): readonly ModelProfile[] =>
  modelsConfigSchema.parse({ models }).models;

export const simConfig = (
  nodes: readonly SimNodeSetup[],
  more: Partial<Omit<FleetConfig, 'eviction' | 'queue'>> & {
    readonly eviction?: Partial<FleetConfig['eviction']>;
    readonly queue?: Partial<FleetConfig['queue']>;
  } = {},
): FleetConfig => ({
  profiles: [],
  aliases: {},
  poll: { intervalMs: 2000, timeoutMs: 1500, backOffMaxMs: 8000 },
  circuit: { failuresMax: 3, openMs: 5000, openMaxMs: 60_000, probeGapMs: 1000 },
  load: { coolDownMs: 15_000, coolDownMaxMs: 300_000, confirmMs: 5000, stallMs: 600_000 },
  tickMs: 250,
  ...more,
  nodes: nodes.map(({ name }) => ({ name, endpoint: `http://${name}:13131`, kind: 'neuron', slots: 256 })),
  eviction: {
    strategy: 'lru',
    lingerMs: 500,
    swapAfterMs: 15_000,
    defragAfterCycles: 0,
    idleUnloadMs: 0,
    ...more.eviction,
  },
  queue: { requestsMax: 100, timeoutMs: 600_000, agingMs: 10_000, ...more.queue },
});

interface Task {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class SimulatedFleet {
  readonly config: FleetConfig;
  readonly state: FleetState;
  readonly nodes = new Map<string, SimNode>();
  readonly endings = new Map<number, Ending>();
  readonly progress = new Map<number, WaitProgress[]>();
  readonly notices: FleetNotice[] = [];
  readonly loads: { readonly node: string; readonly model: string; readonly atMs: number }[] = [];
  readonly unloads: { readonly node: string; readonly model: string; readonly mode: UnloadMode }[] = [];
  tickets = 0;
  readonly #latencyMs: () => number;
  readonly #schedule: Schedule;
  readonly #held = new Map<number, Held>();
  readonly #polls = new Map<SimNode, { again: boolean }>();

  /** @param other another gateway's, over the same nodes in the same time */
  constructor(
    setups: readonly SimNodeSetup[],
    config = simConfig(setups),
    latencyMs: () => number = () => 2,
    other: SimulatedFleet | null = null,
  ) {
    this.config = config;
    this.#latencyMs = latencyMs;
    this.#schedule = other === null ? new Schedule() : other.#schedule;
    this.#schedule.nGateways += 1;
    this.state = new FleetState(config, () => 0.5);
    for (const setup of setups) this.nodes.set(setup.name, other?.node(setup.name) ?? this.#newNode(setup));
    for (const node of this.nodes.values()) this.#poll(node);
    this.#everyTick();
  }

  /** No other gateway can have changed what this one knows. */
  get #isAlone(): boolean {
    return this.#schedule.nGateways === 1;
  }

  get nowMs(): number {
    return this.#schedule.nowMs;
  }

  node(name: string): SimNode {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** Models loaded there, in truth. */
  loadedOn(name: string): readonly string[] {
    return [...this.node(name).copies.values()].filter((copy) => copy.status === 'loaded').map((copy) => copy.model.id);
  }

  request(model: string, more: Partial<RouteRequest> = {}): number {
    this.tickets += 1;
    const request: RouteRequest = {
      model,
      needsVision: false,
      tokensMin: 1,
      clientId: 'client',
      priority: 0,
      excludedNodes: new Set(),
      ...more,
    };
    this.handle({ kind: 'acquire', ticket: this.tickets, request });
    return this.tickets;
  }

  load(name: string, node: string | null = null): number {
    this.tickets += 1;
    this.handle({ kind: 'load', ticket: this.tickets, name, node });
    return this.tickets;
  }

  unload(name: string, mode: UnloadMode = 'refuse', node: string | null = null): number {
    this.tickets += 1;
    this.handle({ kind: 'unload', ticket: this.tickets, name, node, mode });
    return this.tickets;
  }

  cancel(ticket: number): void {
    if (!this.endings.has(ticket)) this.#end(ticket, { kind: 'cancelled' });
    this.handle({ kind: 'cancel', ticket });
  }

  release(ticket: number, outcome: LeaseOutcome = { kind: 'done', completionTokens: 1, decodeMs: 1 }): void {
    const held = this.#held.get(ticket);
    this.#held.delete(ticket);
    if (held !== undefined) this.#later(this.#latencyMs() / 2, () => this.#requestEnds(held));
    this.handle({ kind: 'release', ticket, outcome });
  }

  /** Tickets that hold a lease. */
  held(): readonly number[] {
    return [...this.#held.keys()];
  }

  /** Its node had the model when it arrived there. */
  isRunning(ticket: number): boolean {
    return typeof this.#held.get(ticket)?.bornMs === 'number';
  }

  kill(name: string): void {
    const node = this.node(name);
    node.alive = false;
    for (const copy of node.copies.values()) Object.assign(copy, { ...idleCopy(copy.model, this.nowMs), foreign: 0 });
  }

  revive(name: string): void {
    const node = this.node(name);
    node.alive = true;
    node.bornMs = this.nowMs;
  }

  /** Another gateway's requests. */
  setForeign(name: string, model: string, n: number): void {
    const copy = this.node(name).copies.get(model);
    if (copy === undefined || copy.status !== 'loaded') return;
    copy.foreign = n;
    this.#whenIdle(copy);
  }

  /** Lets virtual time pass, everything due in between happening in its order. */
  run(ms: number): void {
    const { tasks } = this.#schedule;
    const endMs = this.nowMs + ms;
    for (;;) {
      tasks.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
      const next = tasks[0];
      if (next === undefined || next.atMs > endMs) break;
      tasks.shift();
      this.#schedule.nowMs = next.atMs;
      next.run();
    }
    this.#schedule.nowMs = endMs;
  }

  ending(ticket: number): string {
    const ending = this.endings.get(ticket);
    if (ending === undefined) return 'waiting';
    if (ending.kind === 'grant') return `grant ${ending.grant.target.node}`;
    return ending.kind === 'reject' ? ending.error.code : ending.kind;
  }

  /** What a poll would see that began and ended this instant. */
  look(name: string): PollResult {
    const node = this.node(name);
    return this.#look(node, this.nowMs, [...node.copies.values()].map(reported));
  }

  handle(event: FleetEvent): void {
    for (const effect of this.state.handle(event, this.nowMs)) this.#perform(effect);
    if (this.state.data.queue.size > this.state.data.queue.max) throw new Error('the queue grew over its bound');
  }

  freeMb(node: SimNode, device: number): number {
    let free = node.deviceMb[device] ?? 0;
    for (const copy of node.copies.values())
      if (copy.status !== 'available' && copy.status !== 'failed') free -= copy.mb[copy.devices.indexOf(device)] ?? 0;
    return free;
  }

  #newNode(setup: SimNodeSetup): SimNode {
    const node: SimNode = {
      name: setup.name,
      deviceMb: setup.deviceMb,
      copies: new Map(setup.models.map((model) => [model.id, idleCopy(model, 0)])),
      alive: true,
      bornMs: -1_000_000,
      poisoned: new Set(),
      brokenGroups: [],
      failLoads: null,
    };
    for (const id of setup.loaded ?? []) {
      const copy = node.copies.get(id);
      if (copy === undefined) continue;
      const device = setup.deviceMb.findIndex((_, i) => this.freeMb(node, i) >= copy.model.mb);
      if (device < 0) throw new Error(`${id} does not fit on ${setup.name}`);
      Object.assign(copy, { status: 'loaded', devices: [device], mb: [copy.model.mb] });
    }
    return node;
  }

  #later(ms: number, run: () => void): void {
    const { tasks } = this.#schedule;
    this.#schedule.order += 1;
    tasks.push({ atMs: this.nowMs + ms, order: this.#schedule.order, run });
  }

  #everyTick(): void {
    this.handle({ kind: 'tick' });
    this.#later(this.config.tickMs, () => this.#everyTick());
  }

  #end(ticket: number, ending: Ending): void {
    const before = this.endings.get(ticket);
    if (before !== undefined) throw new Error(`ticket ${ticket} ended in ${before.kind} and then in ${ending.kind}`);
    this.endings.set(ticket, ending);
  }

  #perform(effect: FleetEffect): void {
    switch (effect.kind) {
      case 'grant':
        this.#end(effect.ticket, { kind: 'grant', grant: effect.grant });
        this.#arrives(effect.ticket, effect.grant);
        return;
      case 'reject':
        return this.#end(effect.ticket, { kind: 'reject', error: effect.error });
      case 'loaded':
        return this.#end(effect.ticket, { kind: 'loaded', node: effect.node });
      case 'unloaded':
        return this.#end(effect.ticket, { kind: 'unloaded', nodes: effect.nodes });
      case 'progress':
        this.progress.set(effect.ticket, [...(this.progress.get(effect.ticket) ?? []), effect.progress]);
        return;
      case 'notice':
        this.notices.push(effect.notice);
        return;
      case 'hangs':
        return;
      case 'poll':
        return this.#poll(this.node(effect.node));
      case 'start_load':
        return this.#startLoad(effect);
      case 'start_unload':
        return this.#startUnload(effect);
    }
  }

  #arrives(ticket: number, { target }: Grant): void {
    const node = this.node(target.node);
    const copy = node.copies.get(target.modelId);
    if (copy === undefined) throw new Error(`${target.modelId} was never on ${target.node}`);
    // A dead node's leases go on until the proxy gives them up, but nothing runs there.
    const runs = copy.status === 'loaded';
    if (runs) copy.inFlight += 1;
    this.#held.set(ticket, { copy, node, bornMs: runs ? node.bornMs : null });
  }

  #requestEnds({ copy, node, bornMs }: Held): void {
    if (bornMs !== node.bornMs || !node.alive) return;
    copy.inFlight -= 1;
    copy.idleSinceMs = this.nowMs;
    this.#whenIdle(copy);
  }

  #whenIdle(copy: Copy): void {
    if (copy.inFlight + copy.foreign > 0) return;
    for (const free of copy.onIdle.splice(0)) free();
  }

  #startLoad({ plan, node: name, request }: Extract<FleetEffect, { kind: 'start_load' }>): void {
    const node = this.node(name);
    this.loads.push({ node: name, model: request.model_id, atMs: this.nowMs });
    const copy = node.copies.get(request.model_id);
    if (copy === undefined) throw new Error(`${request.model_id} is not on ${name}`);
    for (const other of this.nodes.values())
      if (this.#isAlone && other.alive && other.copies.get(request.model_id)?.status === 'loading' && other !== node)
        throw new Error(`${request.model_id} is loading on ${other.name} and on ${name}`);
    const reaches = this.#connection(node);
    this.#later(this.#latencyMs(), () => {
      if (!reaches()) return this.#fail(plan, new CortexError('upstream_disconnected', 'connection refused'));
      if (node.failLoads !== null) return this.#fail(plan, node.failLoads);
      const devices = request.devices ?? [];
      const isThere = copy.status === 'loading' || copy.status === 'loaded';
      const fits = isThere || this.#dealt(node, copy.model, devices) !== null;
      if (!fits && (copy.model.claimsMb !== undefined || !this.#isAlone))
        return this.#fail(plan, new CortexError('insufficient_vram', 'out of memory'));
      this.#loads(node, copy, devices);
      this.#later(this.#latencyMs(), () => this.handle({ kind: 'load_accepted', plan }));
    });
  }

  /** A message reaches only the process that it was sent to. */
  #connection(node: SimNode): () => boolean {
    const { alive, bornMs } = node;
    return () => alive && node.alive && node.bornMs === bornMs;
  }

  #fail(plan: number, error: CortexError): void {
    this.#later(this.#latencyMs(), () => this.handle({ kind: 'load_failed', plan, error }));
  }

  /** Megabytes of each device by what is free there in truth; null where they have no room. */
  #dealt(node: SimNode, { mb, sharing }: SimModel, devices: readonly number[]): readonly number[] | null {
    const free = devices.map((device) => this.freeMb(node, device));
    if (devices.length > 1) return dealSharing(free, mb, sharing ?? null);
    return free.every((one) => one >= mb) ? [mb] : null;
  }

  /** Memory is taken at once, whatever the progress. */
  #loads(node: SimNode, copy: Copy, devices: readonly number[]): void {
    if (copy.status === 'loading' || copy.status === 'loaded') return;
    const mb = this.#dealt(node, copy.model, devices);
    if (mb === null) throw new Error(`${copy.model.id} over-commits devices ${devices.join(', ')} of ${node.name}`);
    Object.assign(copy, { status: 'loading', devices, mb, error: null });
    const { bornMs } = node;
    this.#later(copy.model.loadMs ?? 5000, () => {
      if (!node.alive || node.bornMs !== bornMs || copy.status !== 'loading') return;
      Object.assign(copy, { status: 'loaded', idleSinceMs: this.nowMs });
    });
  }

  #startUnload({ operation, node: name, modelId, mode }: Extract<FleetEffect, { kind: 'start_unload' }>): void {
    const node = this.node(name);
    const copy = node.copies.get(modelId);
    if (copy === undefined) throw new Error(`${modelId} is not on ${name}`);
    this.unloads.push({ node: name, model: modelId, mode });
    const purpose = this.state.data.operations.get(operation)?.purpose;
    if (purpose?.kind !== 'asked') this.#checkEviction(node, copy, purpose?.kind ?? '');
    const answer = (event: FleetEvent): void => this.#later(this.#latencyMs(), () => this.handle(event));
    const { bornMs } = node;
    const free = (): void => {
      if (node.alive && node.bornMs === bornMs) Object.assign(copy, idleCopy(copy.model, this.nowMs));
      answer({ kind: 'unloaded', operation });
    };
    const failed = (error: CortexError): void => answer({ kind: 'unload_failed', operation, error });
    const reaches = this.#connection(node);
    this.#later(this.#latencyMs(), () => {
      if (!reaches()) return failed(new CortexError('upstream_disconnected', 'connection refused'));
      if (copy.status !== 'loaded') return failed(new CortexError('model_not_found', 'not loaded'));
      const busy = copy.inFlight + copy.foreign > 0;
      if (busy && mode === 'refuse') return failed(new CortexError('model_busy', 'requests are running'));
      if (busy && mode === 'wait') {
        copy.onIdle.push(free);
        return;
      }
      copy.status = 'unloading';
      this.#later(this.#latencyMs(), free);
    });
  }

  #checkEviction(node: SimNode, copy: Copy, purpose: string): void {
    const { id } = copy.model;
    for (const held of this.#held.values()) if (held.copy === copy) throw new Error(`${id} is unloaded while leased`);
    if (this.#isAlone && node.alive && copy.status === 'loading') throw new Error(`${id} is unloaded while loading`);
    const profile = this.config.profiles.find((one) => one.id === id);
    const pin = this.state.data.nodes.get(node.name)?.models.get(id)?.pin ?? null;
    if (purpose === 'evict' && isPinned(profile, { pin, node })) throw new Error(`${id} is pinned and was evicted`);
  }

  #poll(node: SimNode): void {
    const running = this.#polls.get(node);
    if (running !== undefined) {
      running.again = true;
      return;
    }
    const poll = { again: false };
    this.#polls.set(node, poll);
    const startedMs = this.nowMs;
    this.#later(this.config.poll.intervalMs / 4, () => {
      if (this.#polls.get(node) === poll) this.handle({ kind: 'poll_late', node: node.name });
    });
    this.#later(this.#latencyMs() / 3, () => {
      const models = [...node.copies.values()].map(reported);
      this.#later(this.#latencyMs() / 3, () => {
        const result = node.alive ? this.#look(node, startedMs, models) : null;
        this.#later(this.#latencyMs() / 3, () => {
          this.#polls.delete(node);
          this.handle(
            result === null
              ? { kind: 'poll_failed', node: node.name, reason: 'connection refused', startedMs, unanswered: false }
              : { kind: 'polled', node: node.name, result },
          );
          if (poll.again) this.#poll(node);
          else if (!this.#polls.has(node)) this.#later(this.config.poll.intervalMs, () => this.#poll(node));
        });
      });
    });
  }

  #look(node: SimNode, startedMs: number, models: readonly NodeModel[]): PollResult {
    const devices = node.deviceMb.map((mb, index) => ({ index, name: 'sim', backend: 'cuda', vram_total_mb: mb }));
    return {
      startedMs,
      discovery: { hostname: node.name, os: 'linux', kernel: '6', devices, harnesses: ['ggml'] },
      models,
      health: {
        status: 'ok',
        uptime_secs: (this.nowMs - node.bornMs) / 1000,
        devices: devices.map(({ index, vram_total_mb }) => ({
          index,
          vram_used_mb: vram_total_mb - this.freeMb(node, index),
          vram_free_mb: this.freeMb(node, index),
          poisoned: node.poisoned.has(index),
        })),
        broken_groups: [...node.brokenGroups],
        activation: { state: 'idle', loaded: [], failed: [] },
        models: [...node.copies.values()]
          .filter((copy) => copy.status === 'loaded')
          .map((copy) => ({
            id: copy.model.id,
            in_flight: copy.inFlight + copy.foreign,
            queue_depth: 0,
            max_in_flight: copy.model.slots ?? 4,
            rejected: 0,
            idle_ms: copy.inFlight + copy.foreign > 0 ? 0 : this.nowMs - copy.idleSinceMs,
          })),
      },
    };
  }
}

const idleCopy = (model: SimModel, nowMs: number): Copy => ({
  model,
  status: 'available',
  devices: [],
  mb: [],
  inFlight: 0,
  foreign: 0,
  error: null,
  idleSinceMs: nowMs,
  onIdle: [],
});

const reported = ({ model, status, devices, mb, error }: Copy): NodeModel => ({
  id: model.id,
  harness: 'ggml',
  status,
  devices: [...devices],
  vram_used_mb: status === 'loaded' || status === 'unloading' ? mb.reduce((sum, one) => sum + one, 0) : 0,
  devices_mb: status === 'loaded' || status === 'unloading' ? [...mb] : [],
  vram_needed_mb: model.claimsMb ?? model.mb,
  sharing: model.sharing ?? null,
  capabilities: [...(model.capabilities ?? ['text'])],
  limit: { context: model.context ?? 32_768 },
  servable: { ok: true },
  error,
});
