/** `/`, its files and its events, over the edge with a page made for this. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { brotliCompressSync, brotliDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PageEvents } from '@cortex/core';
import { readPageFiles } from '../src/http/page-files.ts';
import { startEdge, type Edge } from './start-edge.ts';

const hashOf = (key: string): string => createHash('sha256').update(key).digest('hex');
const keys = `
[gateway]
require_auth = true
[[keys]]
name = "alice"
hash = "${hashOf('sk-alice')}"
admin = true
[[keys]]
name = "bob"
hash = "${hashOf('sk-bob')}"
`;

const script = 'console.log("a page")\n'.repeat(100);
const html = '<!doctype html><title>cortex</title>';

const folder = mkdtempSync(path.join(tmpdir(), 'page-'));
mkdirSync(path.join(folder, 'assets'));
writeFileSync(path.join(folder, 'index.html'), html);
writeFileSync(path.join(folder, 'assets/a-1.js'), script);
writeFileSync(path.join(folder, 'assets/a-1.js.br'), brotliCompressSync(script));
writeFileSync(path.join(folder, 'secret.txt'), 'not for the web');
const page = readPageFiles(folder);

let open: Edge;
let locked: Edge;
beforeAll(async () => {
  open = await startEdge({ page });
  locked = await startEdge({ page, config: keys });
});
afterAll(async () => {
  await open.close();
  await locked.close();
  rmSync(folder, { recursive: true });
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Unlike fetch, it sends the headers it is told and unpacks nothing. */
const ask = (url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const request = httpRequest(url, { method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    request.on('error', reject);
    request.end(method === 'POST' ? '{"model_id":"m"}' : undefined);
  });

const browser = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };

describe('the page', () => {
  it('is what browsers get at /, and the version what programs get', async () => {
    const forBrowser = await ask(`${open.url}/`, browser);
    expect(forBrowser.body.toString()).toBe(html);
    expect(forBrowser.headers['content-type']).toBe('text/html; charset=utf-8');
    const forCurl = await ask(`${open.url}/`, { accept: '*/*' });
    expect(JSON.parse(forCurl.body.toString())).toMatchObject({ name: 'cortex' });
    expect((await ask(`${open.url}/`, {}, 'HEAD')).status).toBe(200);
  });

  it('loads without a key even where every call needs one, and nothing else does', async () => {
    expect((await ask(`${locked.url}/`, browser)).status).toBe(200);
    expect((await ask(`${locked.url}/assets/a-1.js`)).status).toBe(200);
    for (const url of ['/api/events', '/api/fleet', '/v1/models'])
      expect((await ask(locked.url + url, browser)).status).toBe(401);
  });

  it('allows nothing inline, nothing from elsewhere and no frame around it', async () => {
    const { headers } = await ask(`${open.url}/`, browser);
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("connect-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|https?:|\*/);
    expect(headers['x-content-type-options']).toBe('nosniff');
  });

  it('is asked again by its ETag, and its assets never', async () => {
    const first = await ask(`${open.url}/`, browser);
    expect(first.headers['cache-control']).toBe('no-cache');
    const again = await ask(`${open.url}/`, { ...browser, 'if-none-match': `W/${first.headers.etag}` });
    expect([again.status, again.body.length]).toEqual([304, 0]);
    const asset = await ask(`${open.url}/assets/a-1.js`);
    expect(asset.headers['cache-control']).toBe('public, max-age=31536000, immutable');
  });

  it('comes packed as the build packed it, to whoever takes that', async () => {
    const url = `${open.url}/assets/a-1.js`;
    const packed = await ask(url, { 'accept-encoding': 'gzip, br;q=0.9' });
    expect(packed.headers['content-encoding']).toBe('br');
    expect(brotliDecompressSync(packed.body).toString()).toBe(script);
    for (const accepted of ['gzip', 'identity', 'br;q=0']) {
      const plain = await ask(url, { 'accept-encoding': accepted });
      expect(plain.headers['content-encoding']).toBeUndefined();
      expect(plain.body.toString()).toBe(script);
    }
  });

  it('has no other files, whatever the path', async () => {
    for (const name of ['nope.js', 'a-1.js.br', '..%2Fsecret.txt', '../secret.txt', '%2e%2e/index.html', '%00'])
      expect((await ask(`${open.url}/assets/${name}`)).status).toBe(404);
  });

  it('says how to build it when it was not', async () => {
    const bare = await startEdge({ page: new Map() });
    try {
      const { status, body } = await ask(`${bare.url}/`, browser);
      expect(status).toBe(503);
      expect(body.toString()).toContain('npm run build');
    } finally {
      await bare.close();
    }
  });
});

const load = (headers: Record<string, string>): Promise<Answer> =>
  ask(`${open.url}/api/models/load`, { 'content-type': 'application/json', ...headers }, 'POST');

describe('management', () => {
  it('is for our own page and for programs, not for the pages of other sites', async () => {
    expect((await load({})).status).toBe(200);
    expect((await load({ origin: open.url })).status).toBe(200);
    for (const headers of [{ origin: 'http://evil.example' }, { 'sec-fetch-site': 'cross-site' }])
      expect((await load(headers as Record<string, string>)).status).toBe(403);
  });

  it('is refused to a name that was pointed at us, and so is looking', async () => {
    const rebound = { host: 'evil.example', origin: 'http://evil.example', 'sec-fetch-site': 'same-origin' };
    expect((await load(rebound)).status).toBe(403);
    const look = await ask(`${open.url}/api/events`, rebound);
    expect([look.status, look.body.toString()]).toEqual([403, expect.stringContaining('browser_hosts')]);
    const known = await ask(`${locked.url}/api/fleet`, { ...rebound, authorization: 'Bearer sk-bob' });
    expect(known.status).toBe(200);
  });

  it('needs an admin key on every route that changes something', async () => {
    const changes = [
      '/api/models/load',
      '/api/models/unload',
      '/api/models/pin',
      '/api/nodes/a/drain',
      '/api/nodes/a/undrain',
    ];
    for (const url of changes)
      for (const [key, status] of [
        ['', 401],
        ['sk-nobody', 401],
        ['sk-bob', 403],
      ] as const) {
        const headers = { 'content-type': 'application/json', ...(key === '' ? {} : { 'x-api-key': key }) };
        expect([url, (await ask(locked.url + url, headers, 'POST')).status]).toEqual([url, status]);
      }
  });

  it('refuses a pin that is neither true nor false', async () => {
    const { status, body } = await ask(`${open.url}/api/models/pin`, { 'content-type': 'application/json' }, 'POST');
    expect([status, body.toString()]).toEqual([400, expect.stringContaining('pinned')]);
  });
});

type Told = { [K in keyof PageEvents]: { readonly event: K; readonly data: PageEvents[K] } }[keyof PageEvents];

/** Reads events until one of each of these names has come. */
const watch = async (edge: Edge, names: readonly (keyof PageEvents)[], key?: string): Promise<readonly Told[]> => {
  const abort = new AbortController();
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const response = await fetch(`${edge.url}/api/events`, { headers, signal: abort.signal });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  const told: Told[] = [];
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const blocks = text.split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const [, event = '', data = ''] = /^event: (\w+)\ndata: (.*)$/.exec(block) ?? [];
      if (event !== '') told.push({ event, data: JSON.parse(data) } as Told);
    }
    if (names.every((name) => told.some(({ event }) => event === name))) break;
  }
  abort.abort();
  return told;
};

const chat = (edge: Edge, key?: string): Promise<string> =>
  fetch(`${edge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
    body: JSON.stringify({ model: 'alias', stream: true, messages: [{ role: 'user', content: 'hello' }] }),
  }).then((response) => response.text());

const dataOf = <K extends keyof PageEvents>(told: readonly Told[], name: K): PageEvents[K] | undefined =>
  told.find(({ event }) => event === name)?.data as PageEvents[K] | undefined;

describe('the events', () => {
  it('tell who one is, the fleet, and what was before one came', async () => {
    await chat(open);
    const told = await watch(open, ['hello', 'fleet', 'live', 'finished', 'decisions', 'log']);
    expect(told[0]).toEqual({ event: 'hello', data: { version: '0.0.0', admin: true, keys: false } });
    expect(dataOf(told, 'fleet')?.models.map(({ id }) => id)).toEqual(['m', 'alias']);
    expect(dataOf(told, 'finished')?.at(-1)).toMatchObject({ asked: 'alias', model: 'm', node: 'a', outcome: 'done' });
    expect(dataOf(told, 'decisions')?.at(-1)).toMatchObject({ asked: 'alias', node: 'a', outcome: 'granted' });
    expect(dataOf(told, 'log')?.some((line) => line.includes('"request"'))).toBe(true);
  });

  it('show a request while it runs', async () => {
    open.node.faults.push({ kind: 'slow_headers', ms: 1500 });
    const answer = chat(open);
    const told = await watch(open, ['live', 'finished']);
    expect(dataOf(told, 'live')).toMatchObject({
      total: 1,
      requests: [{ asked: 'alias', phase: 'prefill', node: 'a' }],
    });
    await answer;
  });

  it('hide from a key without admin who else asked, and the log', async () => {
    await chat(locked, 'sk-alice');
    await chat(locked, 'sk-bob');
    const told = await watch(locked, ['finished', 'decisions', 'live'], 'sk-bob');
    expect(dataOf(told, 'hello')).toMatchObject({ admin: false, keys: true });
    expect(dataOf(told, 'finished')?.map(({ client }) => client)).toEqual(['', 'bob']);
    expect(dataOf(told, 'decisions')?.map(({ client }) => client)).toEqual(['', 'bob']);
    expect(told.map(({ event }) => event)).not.toContain('log');
  });

  it('leave nothing behind when the page is closed, which is no failure', async () => {
    for (let i = 0; i < 70; i += 1) await watch(open, ['hello']);
    const told = await watch(open, ['hello', 'log']);
    const lines = (dataOf(told, 'log') ?? []).filter((line) => line.includes('/api/events'));
    expect(lines.filter((line) => line.includes('client_closed_request'))).toEqual([]);
  });
});
