/** A fleet that never changes: nodes in a fixed order, the first that is not excluded serves. For tests of the edge. */
import { CortexError, type CatalogueModel, type FleetSnapshot, type RouteExplanation } from '@cortex/core';
import type {
  Fleet,
  FleetControl,
  Lease,
  LeaseOutcome,
  RouteRequest,
  Target,
  WaitProgress,
} from '../src/fleet/contract.ts';

export interface StaticNode {
  readonly name: string;
  readonly endpoint: string;
  readonly token?: string;
}

export interface StaticFleetOptions {
  readonly nodes: readonly StaticNode[];
  /** What clients may ask for → the id on the nodes. */
  readonly models: Readonly<Record<string, string>>;
  readonly seeing?: readonly string[];
}

export interface ReleasedLease {
  readonly node: string;
  readonly outcome: LeaseOutcome;
}

export class StaticFleet implements Fleet, FleetControl {
  readonly released: ReleasedLease[] = [];
  readonly requests: RouteRequest[] = [];
  readonly loads: string[] = [];
  readonly drained = new Set<string>();
  /** Each acquire waits for this, telling of the progress it is given. */
  wait: ((progress: (progress: WaitProgress) => void, signal: AbortSignal) => Promise<void>) | null = null;
  coldStart = false;
  nLeased = 0;
  readonly #options: StaticFleetOptions;

  constructor(options: StaticFleetOptions) {
    this.#options = options;
  }

  async acquire(
    request: RouteRequest,
    signal: AbortSignal,
    onProgress?: (progress: WaitProgress) => void,
  ): Promise<Lease> {
    this.requests.push(request);
    const refusal = this.#refusal(request);
    if (refusal !== null) throw refusal;
    const startedMs = performance.now();
    await this.wait?.(onProgress ?? (() => undefined), signal);
    signal.throwIfAborted();
    const node = this.#pick(request);
    if (node === undefined) throw new CortexError('no_healthy_node', 'no node is left');
    this.nLeased += 1;
    let released = false;
    const loadMs = performance.now() - startedMs;
    return {
      target: {
        node: node.name,
        endpoint: node.endpoint,
        kind: 'neuron',
        modelId: this.#options.models[request.model] ?? '',
        ...(node.token === undefined ? {} : { token: node.token }),
      },
      coldStart: this.coldStart,
      queueMs: 0,
      loadMs: this.coldStart ? loadMs : 0,
      // Nobody looks at these nodes.
      whenHanging: () => undefined,
      release: (outcome) => {
        if (released) throw new Error('a lease was released twice');
        released = true;
        this.nLeased -= 1;
        this.released.push({ node: node.name, outcome });
      },
    };
  }

  locate(request: RouteRequest): Target {
    const refusal = this.#refusal(request);
    const node = this.#pick(request);
    if (refusal !== null || node === undefined) throw refusal ?? new CortexError('no_healthy_node', 'no node is left');
    const { name, endpoint, token } = node;
    const modelId = this.#options.models[request.model] ?? '';
    return { node: name, endpoint, kind: 'neuron', modelId, ...(token === undefined ? {} : { token }) };
  }

  explain(request: RouteRequest): RouteExplanation {
    const refusal = this.#refusal(request);
    const chosen = refusal === null ? this.#pick(request)?.name : undefined;
    return {
      model: request.model,
      resolvedModel: this.#options.models[request.model] ?? null,
      action: chosen === undefined ? 'refuse' : 'forward',
      chosen: chosen ?? null,
      evictions: [],
      candidates: [],
      error: refusal === null ? null : { code: refusal.code, message: refusal.message },
    };
  }

  snapshot(): FleetSnapshot {
    return { nodes: [], queue: { waiting: 0, max: 1, oldest_secs: 0, by_model: [] }, plans: [], models: this.models() };
  }

  nodeCounts(): { readonly up: number; readonly total: number } {
    return { up: 0, total: 0 };
  }

  models(): readonly CatalogueModel[] {
    return Object.entries(this.#options.models).map(([id, target]) => ({
      id,
      alias_of: id === target ? null : target,
      state: 'loaded',
      capabilities: this.#options.seeing?.includes(id) === true ? ['text', 'vision'] : ['text'],
      limit: { context: 1000 },
      cost: null,
      tool_call: true,
      reasoning: null,
      harness: 'ggml',
      quant: null,
      nodes: this.#options.nodes.map(({ name }) => ({ name, state: 'loaded', devices: [0] })),
      via: [],
      progress: null,
    }));
  }

  nodesAmong(): ReadonlySet<string> {
    return new Set();
  }

  async load(model: string): Promise<{ readonly node: string }> {
    this.loads.push(model);
    return { node: this.#options.nodes[0]?.name ?? '' };
  }

  async unload(): Promise<{ readonly nodes: readonly string[] }> {
    return { nodes: this.#options.nodes.map(({ name }) => name) };
  }

  drain(node: string): void {
    if (!this.#options.nodes.some(({ name }) => name === node)) throw new CortexError('not_found', `no node ${node}`);
    this.drained.add(node);
  }

  undrain(node: string): void {
    this.drained.delete(node);
  }

  pin(): { readonly nodes: readonly string[] } {
    return { nodes: this.#options.nodes.map(({ name }) => name) };
  }

  async close(): Promise<void> {
    // Nothing to stop.
  }

  #pick(request: RouteRequest): StaticNode | undefined {
    return this.#options.nodes.find(({ name }) => !request.excludedNodes.has(name) && !this.drained.has(name));
  }

  #refusal(request: RouteRequest): CortexError | null {
    const { models, seeing } = this.#options;
    if (models[request.model] === undefined)
      return new CortexError('model_not_found', `there is no model ${request.model}`, { param: 'model' });
    if (!request.needsVision || seeing?.includes(request.model) === true) return null;
    const facts = { model_id: request.model, suggestion: [...(seeing ?? [])] };
    return new CortexError('vision_unsupported', `${request.model} cannot see`, { facts });
  }
}
