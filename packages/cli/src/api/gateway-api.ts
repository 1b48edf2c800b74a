/** The gateway as the commands use it. It is trusted to answer as its types say, once it has shown to be a gateway. */
import { CortexError, type CatalogueModel, type ChatRequest, type ErrorCode, type FleetSnapshot } from '@cortex/core';
import { chatEvents, type ChatEvent } from './chat-events.ts';
import { callFor, callJson, type Endpoint } from './http-call.ts';

interface UnloadOptions {
  readonly node?: string;
  readonly mode: 'refuse' | 'wait' | 'force';
}

/** What to do about a failure, behind its own words. */
const advices: Partial<Record<ErrorCode, string>> = {
  upstream_disconnected: '\nStart one with: cortex up. One elsewhere is named by --url or CORTEX_URL.',
  invalid_api_key: ' (give a key with --api-key or CORTEX_API_KEY)',
};

const has = (body: unknown, name: string): boolean => typeof body === 'object' && body !== null && name in body;

export class GatewayApi {
  readonly endpoint: Endpoint;

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
  }

  /** @throws CortexError when there is no gateway at this address, with what to do then. */
  async fleet(signal?: AbortSignal): Promise<FleetSnapshot> {
    const body = await this.#ask(() =>
      callJson(this.endpoint, withSignal({ method: 'GET', path: '/api/fleet' }, signal)),
    );
    if (has(body, 'nodes') && has(body, 'models')) return body as FleetSnapshot;
    throw new CortexError('upstream_error', `${this.endpoint.url} answers, but is no cortex gateway`);
  }

  /** What can be asked for: models, then aliases. A neuron's own list will do too. */
  async models(): Promise<readonly (Pick<CatalogueModel, 'id'> & Partial<CatalogueModel>)[]> {
    const body = await this.#ask(() => callJson(this.endpoint, { method: 'GET', path: '/v1/models' }));
    if (has(body, 'data')) return (body as { readonly data: readonly CatalogueModel[] }).data;
    throw new CortexError('upstream_error', `${this.endpoint.url} answers, but lists no models`);
  }

  /** Also one that is in no list, because an alias with a pattern stands for it. */
  async hasModel(id: string): Promise<boolean> {
    const path = `/v1/models/${id.split('/').map(encodeURIComponent).join('/')}`;
    try {
      await this.#ask(() => callJson(this.endpoint, { method: 'GET', path }));
      return true;
    } catch (thrown) {
      if (thrown instanceof CortexError && thrown.code === 'model_not_found') return false;
      throw thrown;
    }
  }

  /** Resolves once it is loaded, with the node's name. */
  async load(model: string, node: string | undefined, signal?: AbortSignal): Promise<string> {
    const body = { model_id: model, ...(node === undefined ? {} : { node }) };
    const call = withSignal({ method: 'POST', path: '/api/models/load', body } as const, signal);
    const answer = await this.#ask(() => callJson(this.endpoint, call));
    return (answer as { readonly node: string }).node;
  }

  /** Resolves once the memory is free, with the nodes' names. */
  async unload(model: string, options: UnloadOptions): Promise<readonly string[]> {
    const call = { method: 'POST', path: '/api/models/unload', body: { model_id: model, ...options } } as const;
    const answer = await this.#ask(() => callJson(this.endpoint, call));
    return (answer as { readonly nodes: readonly string[] }).nodes;
  }

  /** The answer as it comes. @throws CortexError, also midway; the signal's reason. */
  async *chat(request: ChatRequest, signal: AbortSignal): AsyncGenerator<ChatEvent> {
    const body = { ...request, stream: true, stream_options: { include_usage: true } };
    const call = { method: 'POST', path: '/v1/chat/completions', body, signal } as const;
    const response = await this.#ask(() => callFor(this.endpoint, call));
    try {
      yield* chatEvents(response);
    } catch (thrown) {
      if (signal.aborted) throw signal.reason;
      if (thrown instanceof CortexError) throw thrown;
      throw new CortexError('upstream_disconnected', 'the connection broke in the middle of the answer', {
        cause: thrown,
      });
    }
  }

  async #ask<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (thrown) {
      if (!(thrown instanceof CortexError)) throw thrown;
      const advice = advices[thrown.code];
      if (advice === undefined) throw thrown;
      throw new CortexError(thrown.code, `${thrown.message}${advice}`, { cause: thrown.cause });
    }
  }
}

const withSignal = <T extends object>(call: T, signal: AbortSignal | undefined): T & { signal?: AbortSignal } =>
  signal === undefined ? call : { ...call, signal };
