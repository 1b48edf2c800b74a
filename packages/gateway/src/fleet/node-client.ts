/** What the fleet asks of a node: to be looked at, and to load and unload. One implementation per kind of node. */
import {
  CortexError,
  discoverySchema,
  healthSchema,
  loadAnswerSchema,
  modelListSchema,
  nodeModelsSchema,
  unloadAnswerSchema,
  type ListedModel,
  type LoadRequest,
} from '@cortex/core';
import type { PolledModel, PollResult, UnloadMode } from './events.ts';
import type { NodeConfig } from './fleet-config.ts';
import { NodeHttp } from './node-http.ts';

export type Look = Omit<PollResult, 'startedMs'>;

/** Every method throws a `CortexError`; a broken connection is `upstream_disconnected`, a late answer `upstream_timeout`. */
export interface NodeClient {
  look(withDiscovery: boolean, signal: AbortSignal): Promise<Look>;
  /** Resolves when the node has taken the load, not when it is done. */
  load(request: LoadRequest, signal: AbortSignal): Promise<void>;
  /** Resolves once the memory is free. */
  unload(modelId: string, mode: UnloadMode, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** A node that lists more than this is broken. */
const modelsMax = 10_000;

const bounded = <T extends readonly unknown[]>(models: T): T => {
  if (models.length <= modelsMax) return models;
  throw new CortexError('upstream_error', `lists ${models.length} models, more than ${modelsMax}`);
};

class NeuronClient implements NodeClient {
  readonly #http: NodeHttp;

  constructor(node: NodeConfig) {
    this.#http = new NodeHttp(node);
  }

  /** Models before health: the memory read last already holds every model reported loaded. */
  async look(withDiscovery: boolean, signal: AbortSignal): Promise<Look> {
    const discovery = withDiscovery ? await this.#http.get('/discovery', discoverySchema, signal) : null;
    const models = bounded(await this.#http.get('/models', nodeModelsSchema, signal));
    const health = await this.#http.get('/health', healthSchema, signal);
    return { discovery, models, health };
  }

  async load(request: LoadRequest, signal: AbortSignal): Promise<void> {
    await this.#http.post('/models/load', request, loadAnswerSchema, signal);
  }

  async unload(modelId: string, mode: UnloadMode, signal: AbortSignal): Promise<void> {
    await this.#http.post('/models/unload', { model_id: modelId, mode }, unloadAnswerSchema, signal);
  }

  close(): Promise<void> {
    return this.#http.close();
  }
}

const listed = (model: ListedModel): PolledModel => ({
  id: model.id,
  harness: 'upstream',
  status: 'loaded',
  devices: [],
  vram_used_mb: 0,
  capabilities: model.capabilities ?? null,
  limit: model.limit ?? (model.max_model_len ? { context: model.max_model_len } : null),
  tool_call: model.tool_call ?? null,
  reasoning: model.reasoning ?? null,
  servable: { ok: true },
  progress: model.progress ?? null,
  cold: model.state === 'loading' || model.state === 'available' ? model.state : null,
  via: model.via ?? [],
});

const noLifecycle = (): Promise<never> => Promise.reject(new TypeError('other engines have no lifecycle'));

class UpstreamClient implements NodeClient {
  readonly #http: NodeHttp;
  readonly #via: string;

  constructor(node: NodeConfig, via: string) {
    this.#http = new NodeHttp(node, { via: `1.1 ${via}` });
    this.#via = via;
  }

  async look(_withDiscovery: boolean, signal: AbortSignal): Promise<Look> {
    const { data } = await this.#http.get('/v1/models', modelListSchema, signal);
    // Another gateway must not keep alive in our list what it only has from us.
    const models = bounded(data)
      .map(listed)
      .filter((model) => model.via?.includes(this.#via) !== true);
    return { discovery: null, models, health: null };
  }

  load(): Promise<void> {
    return noLifecycle();
  }

  unload(): Promise<void> {
    return noLifecycle();
  }

  close(): Promise<void> {
    return this.#http.close();
  }
}

/** @param via our name in `Via` */
export const connectNode = (node: NodeConfig, via: string): NodeClient =>
  node.kind === 'neuron' ? new NeuronClient(node) : new UpstreamClient(node, via);
