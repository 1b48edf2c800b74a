/** JSON over HTTP with one node: bounded in time and size, and every failure a `CortexError` of the table. */
import { CortexError, describeIssue, isErrorCode, type ErrorCode } from '@cortex/core';
import { errors, Pool, type Dispatcher } from 'undici';
import type { NodeConfig } from './fleet-config.ts';

/** A node that sends more than this about itself is broken. */
const answerBytesMax = 16 * 1024 * 1024;

/** Looks are sequential; more than one connection only bridges one that has died unnoticed. */
const lookConnections = 2;

/** What the schemas of core are to this file. */
type Schema<T> = {
  safeParse(body: unknown): { success: true; data: T } | { success: false; error: Parameters<typeof describeIssue>[0] };
};

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

const byStatus = (status: number): ErrorCode => {
  if (status === 409) return 'model_busy';
  if (status === 429) return 'rate_limit_exceeded';
  return status === 404 ? 'not_found' : 'upstream_error';
};

const retryAfter = (headers: Dispatcher.ResponseData['headers']): { retryAfterSecs?: number } => {
  const secs = Number(headers['retry-after']);
  return Number.isFinite(secs) && secs >= 0 ? { retryAfterSecs: secs } : {};
};

const refusal = (what: string, response: Dispatcher.ResponseData, text: string): CortexError => {
  const { statusCode, headers } = response;
  const body = parseJson(text);
  const error = isObject(body) && isObject(body['error']) ? body['error'] : {};
  const { code, message } = error;
  return new CortexError(
    isErrorCode(code) ? code : byStatus(statusCode),
    typeof message === 'string' ? message.slice(0, 2000) : `${what} answered ${statusCode}`,
    retryAfter(headers),
  );
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

const isTimeout = (thrown: unknown): boolean =>
  thrown instanceof errors.ConnectTimeoutError ||
  thrown instanceof errors.HeadersTimeoutError ||
  thrown instanceof errors.BodyTimeoutError ||
  (thrown instanceof Error && (thrown.name === 'AbortError' || thrown.name === 'TimeoutError'));

/** A failed connection, in the words of the system: `connect ECONNREFUSED 127.0.0.1:1`. */
const connectionError = (what: string, thrown: unknown): CortexError => {
  if (thrown instanceof CortexError) return thrown;
  if (isTimeout(thrown)) return new CortexError('upstream_timeout', `${what}: no answer in time`, { cause: thrown });
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new CortexError('upstream_disconnected', `${what}: ${message}`, { cause: thrown });
};

const readText = async (what: string, body: Dispatcher.ResponseData['body']): Promise<string> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    const buffer = Buffer.from(chunk as Uint8Array);
    bytes += buffer.length;
    if (bytes > answerBytesMax) throw new CortexError('upstream_error', `${what}: more than ${answerBytesMax} bytes`);
    chunks.push(buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
};

export class NodeHttp {
  readonly #looks: Pool;
  /** Apart from the looks, which must not queue behind an unload that waits for requests to end. */
  readonly #acts: Pool;
  readonly #prefix: string;
  readonly #headers: Readonly<Record<string, string>>;

  /** @param headers of every request, beside those of its kind */
  constructor(node: NodeConfig, headers: Readonly<Record<string, string>> = {}) {
    const url = new URL(node.endpoint);
    // Deadlines are the caller's signals: an unload may wait for hours of requests.
    const options = { headersTimeout: 0, bodyTimeout: 0, connectTimeout: 10_000 };
    this.#looks = new Pool(url.origin, { ...options, connections: lookConnections });
    this.#acts = new Pool(url.origin, options);
    this.#prefix = url.pathname.replace(/\/+$/, '');
    const authorization = node.token === undefined ? {} : { authorization: `Bearer ${node.token}` };
    this.#headers = { accept: 'application/json', ...authorization, ...headers };
  }

  /** Tried again once when the connection broke: an idle one may have died with the node's last process. */
  async get<T>(path: string, schema: Schema<T>, signal: AbortSignal): Promise<T> {
    try {
      return await this.#call('GET', path, undefined, schema, signal);
    } catch (thrown) {
      if (!(thrown instanceof CortexError) || thrown.code !== 'upstream_disconnected' || signal.aborted) throw thrown;
      return this.#call('GET', path, undefined, schema, signal);
    }
  }

  post<T>(path: string, body: unknown, schema: Schema<T>, signal: AbortSignal): Promise<T> {
    return this.#call('POST', path, body, schema, signal);
  }

  async #call<T>(
    method: 'GET' | 'POST',
    path: string,
    body: unknown,
    schema: Schema<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const what = `${method} ${path}`;
    try {
      const response = await (method === 'GET' ? this.#looks : this.#acts).request({
        method,
        path: `${this.#prefix}${path}`,
        signal,
        headers: body === undefined ? this.#headers : { ...this.#headers, 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const text = await readText(what, response.body);
      if (response.statusCode >= 400) throw refusal(what, response, text);
      const parsed = schema.safeParse(parseJson(text));
      if (parsed.success) return parsed.data;
      const { message } = describeIssue(parsed.error);
      throw new CortexError('upstream_error', `${what}: not the answer it should be: ${message}`);
    } catch (thrown) {
      throw connectionError(what, thrown);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#looks.destroy(), this.#acts.destroy()]);
  }
}
