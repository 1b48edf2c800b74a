/**
 * Everything the fleet's run loop owns. Only the functions that `FleetState.handle` calls write here, all within one
 * synchronous turn; `nowMs` and `out` belong to that turn.
 */
import type { ModelProfile } from '@cortex/core';
import { closedCircuit } from '../routing/circuit.ts';
import type { PlacementContext } from '../routing/decide-placement.ts';
import type { Fit } from '../routing/memory.ts';
import type { ModelOnNode, NodeView, Reservation, Topology } from '../routing/topology.ts';
import type { FleetEffect } from './events.ts';
import type { FleetConfig, NodeConfig } from './fleet-config.ts';
import { LoadBook } from './load-book.ts';
import type { FleetNotice } from './notices.ts';
import { RequestQueue } from './request-queue.ts';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export interface ModelRecord extends Mutable<Omit<ModelOnNode, 'id' | 'node'>> {
  readonly id: string;
  readonly node: NodeRecord;
  /** Most leases at once since the last poll: what it reports beyond them is not ours. */
  leasePeak: number;
  /** Polls begun before this know less than we do. */
  changedMs: number;
  loadingSinceMs: number | null;
  error: string | null;
}

export interface NodeRecord extends Mutable<Omit<NodeView, 'name' | 'models' | 'reservations'>> {
  readonly name: string;
  readonly config: NodeConfig;
  readonly models: Map<string, ModelRecord>;
  readonly reservations: Reservation[];
  /** Looks in a row that it left unanswered, and when the first of them began. */
  nUnanswered: number;
  unansweredMs: number;
  hostname: string | null;
  uptimeSecs: number | null;
  /** Models unloaded since the node started. */
  cycles: number;
  defragDue: boolean;
  /** It has been drained, and that was said. */
  drained: boolean;
}

export interface Plan {
  readonly id: number;
  readonly modelId: string;
  readonly node: NodeRecord;
  readonly fit: Fit;
  readonly reservation: Reservation;
  readonly victims: Map<ModelRecord, 'draining' | 'unloading' | 'gone'>;
  /** Some victims were busy when it was made. */
  readonly drains: boolean;
  readonly startedMs: number;
  phase: 'draining' | 'unloading' | 'confirming' | 'loading';
  phaseMs: number;
  /** From when on polls must know of the load. */
  acceptedMs: number | null;
  fraction: number;
  fractionMs: number;
  /** When its progress was last told to the log. */
  noticedMs: number;
}

/** One unload under way, and for whom. */
export interface Operation {
  readonly id: number;
  readonly entry: ModelRecord;
  readonly purpose:
    | { readonly kind: 'evict'; readonly plan: number; readonly for: string }
    | { readonly kind: 'idle'; readonly idleMs: number }
    | { readonly kind: 'asked'; readonly ticket: number };
}

/** An operator's unload of one or more copies. */
export interface AskedUnload {
  readonly ticket: number;
  readonly nodes: string[];
  pending: number;
}

export interface HeldLease {
  readonly entry: ModelRecord;
  readonly clientId: string;
}

const affinityMax = 16_384;

export class FleetData {
  readonly config: FleetConfig;
  /** 0..1, injected. */
  readonly random: () => number;
  readonly nodes = new Map<string, NodeRecord>();
  readonly byModel = new Map<string, ModelRecord[]>();
  readonly profiles: ReadonlyMap<string, ModelProfile>;
  readonly queue: RequestQueue;
  readonly book: LoadBook;
  /** By model: a model is never on its way to two places. */
  readonly plans = new Map<string, Plan>();
  readonly operations = new Map<number, Operation>();
  readonly unloads = new Map<number, AskedUnload>();
  readonly leases = new Map<number, HeldLease>();
  readonly topology: Topology;
  readonly #affinity = new Map<string, NodeRecord>();
  lastTicket = 0;
  lastId = 0;
  nowMs = 0;
  idleScanMs = 0;
  closed = false;
  out: FleetEffect[] = [];

  constructor(config: FleetConfig, random: () => number) {
    this.config = config;
    this.random = random;
    this.profiles = new Map(config.profiles.map((profile) => [profile.id, profile]));
    this.queue = new RequestQueue(config.queue.requestsMax, config.queue.agingMs);
    this.book = new LoadBook(config.load);
    for (const node of config.nodes) this.nodes.set(node.name, newNode(node));
    this.topology = {
      nodes: this.nodes,
      byModel: this.byModel,
      profiles: this.profiles,
      aliases: config.aliases,
    };
  }

  emit(effect: FleetEffect): void {
    this.out.push(effect);
  }

  notice(notice: FleetNotice): void {
    this.out.push({ kind: 'notice', notice });
  }

  poll(node: string): void {
    this.out.push({ kind: 'poll', node });
  }

  nextId(): number {
    this.lastId += 1;
    return this.lastId;
  }

  needMb(modelId: string, node: NodeView): number | null {
    return this.book.needMb(modelId, node.name, node.models.get(modelId), this.profiles.get(modelId), this.nowMs);
  }

  /** The node that holds the conversation's prefix. */
  affinity(modelId: string, key: string | null): NodeRecord | null {
    return key === null ? null : (this.#affinity.get(`${modelId}\n${key}`) ?? null);
  }

  rememberAffinity(modelId: string, key: string | null, node: NodeRecord): void {
    if (key === null) return;
    const full = `${modelId}\n${key}`;
    this.#affinity.delete(full);
    this.#affinity.set(full, node);
    if (this.#affinity.size <= affinityMax) return;
    for (const oldest of this.#affinity.keys()) {
      this.#affinity.delete(oldest);
      return;
    }
  }

  /** A node lost no longer ago may be back any moment. */
  get downGraceMs(): number {
    return this.config.poll.intervalMs * 2;
  }

  /** The deciders' view at this moment. */
  placementContext(): PlacementContext {
    return {
      topology: this.topology,
      needMb: (modelId, node) => this.needMb(modelId, node),
      coolDown: (modelId, node) => this.book.coolDown(modelId, node, this.nowMs),
      isDoubted: (modelId, node) => this.book.isDoubted(modelId, node),
      downGraceMs: this.downGraceMs,
      eviction: {
        policy: this.config.eviction,
        nowMs: this.nowMs,
        profileOf: (modelId) => this.profiles.get(modelId),
        isWanted: (modelId) => this.queue.count(modelId) > 0,
        loadMs: (modelId) => this.book.loadMs(modelId),
      },
    };
  }

  addRecord(node: NodeRecord, id: string): ModelRecord {
    const record = newModel(node, id, this.nowMs);
    node.models.set(id, record);
    const records = this.byModel.get(id);
    if (records === undefined) this.byModel.set(id, [record]);
    else records.push(record);
    return record;
  }

  removeRecord(record: ModelRecord): void {
    record.node.models.delete(record.id);
    const rest = this.byModel.get(record.id)?.filter((other) => other !== record) ?? [];
    if (rest.length === 0) this.byModel.delete(record.id);
    else this.byModel.set(record.id, rest);
  }
}

const newNode = (config: NodeConfig): NodeRecord => ({
  name: config.name,
  config,
  endpoint: config.endpoint,
  kind: config.kind,
  reach: 'unknown',
  silent: false,
  downSinceMs: -Infinity,
  downReason: null,
  drainedFrom: null,
  circuit: closedCircuit,
  harnesses: [],
  polledMs: -Infinity,
  freedMs: -Infinity,
  devices: [],
  hostFreeMb: null,
  brokenGroups: [],
  models: new Map(),
  reservations: [],
  nUnanswered: 0,
  unansweredMs: 0,
  hostname: null,
  uptimeSecs: null,
  cycles: 0,
  defragDue: false,
  drained: false,
});

const newModel = (node: NodeRecord, id: string, nowMs: number): ModelRecord => ({
  id,
  node,
  status: 'available',
  cold: null,
  via: [],
  operation: null,
  harness: null,
  devices: [],
  vramUsedMb: 0,
  devicesMb: [],
  layers: [],
  vramNeededMb: null,
  placement: null,
  sharing: null,
  offload: null,
  capabilities: null,
  maySee: true,
  limit: null,
  contextMax: Infinity,
  toolCall: null,
  reasoning: null,
  servable: true,
  servableReason: null,
  progress: null,
  poisoned: false,
  leases: 0,
  foreign: 0,
  maxInFlight: node.config.slots,
  decodeTokS: null,
  lastUsedMs: nowMs,
  loadedAtMs: nowMs,
  closingFor: null,
  backOffUntilMs: 0,
  evictAgainMs: 0,
  doubtedMs: -Infinity,
  lastGrant: 0,
  pin: null,
  leasePeak: 0,
  changedMs: -Infinity,
  loadingSinceMs: null,
  error: null,
});
