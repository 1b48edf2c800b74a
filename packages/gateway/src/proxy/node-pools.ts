/**
 * Connections to the nodes: one pool for each origin, made when first used. Deadlines after the connect are the
 * caller's, who aborts the call, so undici's own are off.
 */
import { Pool } from 'undici';
import { NodeCall, type AnswerSink } from './node-call.ts';

export interface NodePoolOptions {
  readonly connectTimeoutMs: number;
  readonly connectionsPerNode: number;
}

export interface NodeRequest {
  readonly node: string;
  /** Base URL of the node, without a slash at its end. */
  readonly endpoint: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

interface Endpoint {
  readonly pool: Pool;
  /** What stands before every path. */
  readonly prefix: string;
}

export class NodePools {
  readonly #options: NodePoolOptions;
  readonly #endpoints = new Map<string, Endpoint>();

  constructor(options: NodePoolOptions) {
    this.#options = options;
  }

  post(request: NodeRequest, sink: AnswerSink): NodeCall {
    const { pool, prefix } = this.#endpoint(request.endpoint);
    const call = new NodeCall(request.node, sink);
    const { headers, body } = request;
    pool.dispatch({ method: 'POST', path: prefix + request.path, headers, body }, call);
    return call;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#endpoints.values()].map(({ pool }) => pool.destroy()));
    this.#endpoints.clear();
  }

  #endpoint(url: string): Endpoint {
    const known = this.#endpoints.get(url);
    if (known !== undefined) return known;
    const { origin, pathname } = new URL(url);
    const pool = new Pool(origin, {
      connections: this.#options.connectionsPerNode,
      connectTimeout: this.#options.connectTimeoutMs,
      headersTimeout: 0,
      bodyTimeout: 0,
      pipelining: 1,
    });
    const endpoint = { pool, prefix: pathname.replace(/\/+$/, '') };
    this.#endpoints.set(url, endpoint);
    return endpoint;
  }
}
