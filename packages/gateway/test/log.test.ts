/** The log where a running gateway writes it: standard output, through the buffer that every other test replaces. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from './start-edge.ts';

const program = new URL('serve.ts', import.meta.url).pathname;
const aWhileMs = 30_000;

let dir: string;
let gateway: ChildProcessByStdio<null, Readable, Readable>;
let out = '';
let err = '';

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cortex-log-'));
  const file = path.join(dir, 'cortex.toml');
  await writeFile(file, '[gateway]\nlisten = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\n');
  const args = ['--conditions=source', '--import', 'tsx', program, file];
  gateway = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  [out, err] = ['', ''];
  gateway.stdout.on('data', (piece) => (out += String(piece)));
  gateway.stderr.on('data', (piece) => (err += String(piece)));
});

afterEach(async () => {
  if (gateway.exitCode === null && gateway.kill('SIGKILL')) await once(gateway, 'close');
  await rm(dir, { recursive: true, force: true });
});

const lines = () =>
  out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);

describe('the log of a running gateway', () => {
  it('tells of a request soon after its end, and of everything before the process ends', async () => {
    await eventually(() => /listening on \S+,/.test(err), aWhileMs);
    const url = /listening on ([^,\s]+)/.exec(err)?.[1] ?? '';
    const ask = (id: string): Promise<Response> =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-request-id': id },
        body: '{"model":"none","messages":[]}',
      });
    expect((await ask('first')).status).toBe(404);
    await eventually(() => lines().some((line) => line['requestId'] === 'first'), aWhileMs);
    await ask('last');
    gateway.kill('SIGTERM');
    const [code] = (await once(gateway, 'close')) as [number | null];
    expect(code).toBe(0);
    expect(lines().map((line) => line['requestId'] ?? line['msg'])).toEqual([
      'listening',
      'first',
      'last',
      'shutting down',
    ]);
  });
});
