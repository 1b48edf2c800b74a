/**
 * What the proxy knows of the fleet: ask for a lease on a model somewhere, stream to it, give it back.
 * A lease lives from "chosen and ready" to "response ended"; a leased model is never evicted by this gateway.
 */
import type {
  CatalogueModel,
  CortexError,
  FleetSnapshot,
  RouteExplanation,
  UnloadRequest,
  WaitProgress,
} from '@cortex/core';

export type { WaitProgress } from '@cortex/core';

/** What routing needs to know of a request; the body itself stays with the proxy. */
export interface RouteRequest {
  /** Model id as the client wrote it; aliases are resolved inside. */
  readonly model: string;
  readonly needsVision: boolean;
  /** A cheap lower bound of prompt + answer tokens, for the context check. */
  readonly tokensMin: number;
  /** Hash of the conversation's leading messages; equal keys prefer the node that served them. */
  readonly affinityKey?: string;
  /** Who asks, for fair queueing. */
  readonly clientId: string;
  readonly priority: number;
  /** Nodes that have had this request already: they failed it, or are gateways it has come through. */
  readonly excludedNodes: ReadonlySet<string>;
}

export interface Target {
  readonly node: string;
  /** Base URL without a trailing slash, such as `http://10.0.0.5:13131`. */
  readonly endpoint: string;
  readonly kind: 'neuron' | 'upstream';
  /** The id to put into the forwarded body's `model`. */
  readonly modelId: string;
  /** Bearer token the node wants; never the client's. */
  readonly token?: string;
}

export type LeaseOutcome =
  | { readonly kind: 'done'; readonly completionTokens: number; readonly decodeMs: number }
  /** The client left or the request itself was wrong: says nothing about the node. */
  | { readonly kind: 'client' }
  /** The node failed or stalled: feeds its circuit. */
  | { readonly kind: 'failed'; readonly error: CortexError };

export interface Lease {
  readonly target: Target;
  readonly coldStart: boolean;
  readonly queueMs: number;
  readonly loadMs: number;
  /**
   * `listener` hears, again and again while the lease is held, that the node has answered no look since `sinceMs` of
   * `performance.now()`.
   */
  whenHanging(listener: (sinceMs: number) => void): void;
  /** Exactly once; later calls are ignored. */
  release(outcome: LeaseOutcome): void;
}

/** What is asked of an `AbortSignal`, which is one. */
export interface LeaveSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  /** @throws the reason, once aborted. */
  throwIfAborted(): void;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

export interface Fleet {
  /**
   * Waits in the bounded queue while a model is placed and loaded. @throws CortexError `model_not_found`,
   * `vision_unsupported`, `context_length_exceeded`, `no_healthy_node`, `insufficient_vram`, `model_loading`
   * (the deadline passed) or `overloaded` (it passed although the model was loaded), `rate_limit_exceeded` (queue
   * full), what the load failed with (`model_load_failed`, …), or the signal's reason when the client left.
   */
  acquire(request: RouteRequest, signal: LeaveSignal, onProgress?: (progress: WaitProgress) => void): Promise<Lease>;
  /**
   * Where this request's tokens can be counted: takes no lease, loads nothing, is no use of the model, and its length
   * is no objection. @throws CortexError `model_not_found`, `vision_unsupported`, `no_healthy_node`.
   */
  locate(request: RouteRequest): Target;
  /** The same decision, taken from the same snapshot, without acting on it. */
  explain(request: RouteRequest): RouteExplanation;
  /** The nodes that are these gateways. */
  nodesAmong(gateways: ReadonlySet<string>): ReadonlySet<string>;
}

/** What operators do and see. Node and model names come from outside: unknown ones throw `not_found`, `model_not_found`. */
export interface FleetControl {
  /** `GET /api/fleet`: cheap, never asks a node. */
  snapshot(): FleetSnapshot;
  /** For probes that anybody may send, as often as they like. */
  nodeCounts(): { readonly up: number; readonly total: number };
  /**
   * `GET /v1/models`: models first, then aliases. Neither loads anything nor counts as use.
   * @param asking gateways: what is only reached through one of them is not for them
   */
  models(asking?: ReadonlySet<string>): readonly CatalogueModel[];
  /** Loads it somewhere, or on `node`, evicting as for a request; resolves once it is loaded, with where. */
  load(model: string, options: LoadOptions): Promise<{ readonly node: string }>;
  /** Unloads it everywhere, or on `node`. @throws `model_busy` while requests run, unless told to wait or to force. */
  unload(model: string, options: UnloadOptions): Promise<{ readonly nodes: readonly string[] }>;
  /** No request that comes later goes there; running and queued ones are served. */
  drain(node: string): void;
  undrain(node: string): void;
  /** Keeps it where it is loaded, or on `node`, from being evicted or unloaded when idle, whatever models.toml says. */
  pin(model: string, pinned: boolean, options: PinOptions): { readonly nodes: readonly string[] };
  /** Stops polling and refuses what still waits. */
  close(): Promise<void>;
}

export interface LoadOptions {
  readonly node?: string;
  readonly signal?: AbortSignal;
}

export interface PinOptions {
  readonly node?: string;
}

export interface UnloadOptions {
  readonly node?: string;
  /** Default `refuse`. */
  readonly mode?: NonNullable<UnloadRequest['mode']>;
}
