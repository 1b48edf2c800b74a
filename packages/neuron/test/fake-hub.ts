/**
 * A Hugging Face hub in miniature: revision and tree calls, files by `resolve` with ranges, large ones by redirect to
 * a storage host of another origin. Faults are programmed per file.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type HubFault =
  /** Sends this many bytes of what was asked for, then resets the connection. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Sends this many bytes, then nothing, and never ends. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  | { readonly kind: 'status'; readonly status: number }
  | { readonly kind: 'ignore_range' }
  | { readonly kind: 'damage' };

export interface HubRequest {
  readonly path: string;
  readonly range: string | null;
  readonly authorization: string | null;
  readonly host: 'hub' | 'storage';
}

const commit = 'c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00';
const hashOf = (algorithm: string, ...parts: (string | Buffer)[]): string => {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

export class FakeHub implements AsyncDisposable {
  readonly commit = commit;
  readonly requests: HubRequest[] = [];
  /** Taken off the front, one per request of that file. */
  readonly faults = new Map<string, HubFault[]>();
  /** Sizes that the tree call claims, against the truth. */
  readonly sizes = new Map<string, number>();
  /** When set, everything but this token is answered 401. */
  token: string | null = null;
  readonly #repos = new Map<string, ReadonlyMap<string, Buffer>>();
  readonly #hub: Server;
  readonly #storage: Server;

  constructor() {
    this.#hub = createServer((request, response) => this.#answer(request, response, 'hub'));
    this.#storage = createServer((request, response) => this.#answer(request, response, 'storage'));
  }

  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    for (const server of [hub.#hub, hub.#storage])
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    return hub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#hub.address() as AddressInfo).port}`;
  }

  addRepo(id: string, files: Readonly<Record<string, string | Buffer>>): void {
    this.#repos.set(id, new Map(Object.entries(files).map(([name, content]) => [name, Buffer.from(content)])));
  }

  /** The ranges asked for one file, in order; null for none. */
  rangesOf(name: string): readonly (string | null)[] {
    return this.requests
      .filter(({ path, host }) => host === 'hub' && path.endsWith(`/${name}`))
      .map(({ range }) => range);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse, host: HubRequest['host']): void {
    const url = new URL(request.url ?? '/', this.url);
    const { range = null, authorization = null } = request.headers;
    this.requests.push({ path: url.pathname, range, authorization, host });
    if (host === 'hub' && this.token !== null && authorization !== `Bearer ${this.token}`) {
      response.writeHead(401).end();
      return;
    }
    const api = /^\/api\/models\/(.+?)\/(revision|tree)\/([^/]+)$/.exec(url.pathname);
    const file = /^\/(.+?)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname);
    const files = this.#repos.get(api?.[1] ?? file?.[1] ?? '');
    if (files === undefined) response.writeHead(404).end();
    else if (api !== null) this.#answerApi(api[2] ?? '', api[1] ?? '', files, response);
    else if (file !== null) this.#answerFile(request, response, file[3] ?? '', files, host);
  }

  #answerApi(call: string, id: string, files: ReadonlyMap<string, Buffer>, response: ServerResponse): void {
    const tree = [...files].map(([path, content]) => ({
      type: 'file',
      path,
      size: this.sizes.get(path) ?? content.length,
      oid: hashOf('sha1', `blob ${content.length}\0`, content),
      // JSON leaves out what is undefined, as the hub does for small files.
      lfs: isLarge(path) ? { oid: hashOf('sha256', content), size: content.length, pointerSize: 130 } : undefined,
    }));
    const body = call === 'tree' ? tree : { _id: '1', id, sha: commit, private: false, lastModified: '2026-01-01' };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }

  #answerFile(
    request: IncomingMessage,
    response: ServerResponse,
    name: string,
    files: ReadonlyMap<string, Buffer>,
    host: HubRequest['host'],
  ): void {
    const content = files.get(name);
    if (content === undefined) {
      response.writeHead(404).end();
      return;
    }
    if (host === 'hub' && isLarge(name)) {
      const { port } = this.#storage.address() as AddressInfo;
      response.writeHead(302, { location: `http://127.0.0.1:${port}${request.url ?? ''}` }).end();
      return;
    }
    const fault = this.faults.get(name)?.shift();
    if (fault?.kind === 'status') {
      response.writeHead(fault.status).end();
      return;
    }
    const start =
      fault?.kind === 'ignore_range' ? 0 : Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (start >= content.length && start > 0) {
      response.writeHead(416).end();
      return;
    }
    const rest = fault?.kind === 'damage' ? Buffer.alloc(content.length - start, 1) : content.subarray(start);
    const partial = start > 0 ? { 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` } : {};
    response.writeHead(start > 0 ? 206 : 200, { 'content-length': rest.length, ...partial });
    if (fault?.kind === 'cut') response.write(rest.subarray(0, fault.afterBytes), () => response.destroy());
    else if (fault?.kind === 'stall') response.write(rest.subarray(0, fault.afterBytes));
    else response.end(rest);
  }
}

const isLarge = (name: string): boolean => name.endsWith('.safetensors') || name === 'tokenizer.json';
