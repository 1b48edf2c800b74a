/**
 * Connections to the nodes: one pool for each origin, made when first used. Deadlines after the connect are the
 * caller's, by its signal, so undici's own are off.
 */
import { Pool, type Dispatcher } from 'undici';

export interface NodePoolOptions {
  readonly connectTimeoutMs: number;
  readonly connectionsPerNode: number;
}

export interface NodeCall {
  /** Base URL of the node, without a slash at its end. */
  readonly endpoint: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
  readonly signal: AbortSignal;
}

export class NodePools {
  readonly #options: NodePoolOptions;
  readonly #pools = new Map<string, Pool>();

  constructor(options: NodePoolOptions) {
    this.#options = options;
  }

  post(call: NodeCall): Promise<Dispatcher.ResponseData> {
    const url = new URL(call.endpoint + call.path);
    return this.#pool(url.origin).request({
      method: 'POST',
      path: url.pathname,
      headers: call.headers,
      body: call.body,
      signal: call.signal,
    });
  }

  async close(): Promise<void> {
    await Promise.all([...this.#pools.values()].map((pool) => pool.destroy()));
    this.#pools.clear();
  }

  #pool(origin: string): Pool {
    const known = this.#pools.get(origin);
    if (known !== undefined) return known;
    const pool = new Pool(origin, {
      connections: this.#options.connectionsPerNode,
      connectTimeout: this.#options.connectTimeoutMs,
      headersTimeout: 0,
      bodyTimeout: 0,
      pipelining: 1,
    });
    this.#pools.set(origin, pool);
    return pool;
  }
}
