import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('./cortex.ts', import.meta.url));
const noStack = /^\s+at /m;

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cli-'));
});
afterEach(() => rm(dir, { recursive: true }));

const write = async (name: string, text: string): Promise<string> => {
  const file = path.join(dir, name);
  await writeFile(file, text);
  return file;
};

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface Running {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly ended: Promise<Ended>;
  /** Of the API, once it listens. */
  readonly url: Promise<string>;
}

const start = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Running => {
  const child = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', program, ...args], {
    cwd: path.dirname(program),
    env: { PATH: process.env['PATH'] ?? '', HOME: dir, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += String(chunk)));
  const url = new Promise<string>((resolve) => {
    child.stderr.on('data', (chunk) => {
      err += String(chunk);
      const found = /listening on ([^,\s]+)/.exec(err)?.[1];
      if (found !== undefined) resolve(found);
    });
  });
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, out, err })));
  return { child, ended, url };
};

const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> =>
  start(args, env).ended;

const listen = '[gateway]\nlisten = "127.0.0.1:0"\nmetrics_listen = "127.0.0.1:0"\n';

describe('cortex serve', () => {
  it('answers, logs as JSON lines, and ends cleanly on SIGTERM', async () => {
    const file = await write('cortex.toml', `${listen}[[neurons]]\nname = "a"\nendpoint = "http://127.0.0.1:1"\n`);
    const cortex = start(['serve', '--config', file]);
    const url = await cortex.url;
    expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ status: 'degraded', nodes: { total: 1 } });
    cortex.child.kill('SIGTERM');
    const { code, out, err } = await cortex.ended;
    expect(code).toBe(0);
    expect(err).toContain('1 neuron configured');
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { msg: string });
    expect(lines.map(({ msg }) => msg)).toEqual(expect.arrayContaining(['listening', 'shutting down']));
  });

  it('says in one line that its port is taken', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', () => resolve()));
    const { port } = taken.address() as AddressInfo;
    const file = await write('cortex.toml', listen);
    const { code, err } = await run(['serve', '-c', file], { CORTEX_GATEWAY__LISTEN: `127.0.0.1:${port}` });
    taken.close();
    expect(code).toBe(1);
    expect(err.trim()).toBe(`cannot listen on 127.0.0.1:${port}: something else already does`);
  });

  it('names the file that is missing and the variable that is wrong', async () => {
    const missing = await run(['serve', '-c', path.join(dir, 'none.toml')]);
    expect([missing.code, missing.err]).toEqual([
      2,
      expect.stringMatching(/^.*none\.toml: no such file\..*\[\[neurons\]\]/s),
    ]);
    const file = await write('cortex.toml', listen);
    const variable = await run(['serve', '-c', file], { CORTEX_GATEWAY__LISTN: 'x' });
    expect(variable.code).toBe(2);
    expect(variable.err).toContain('CORTEX_GATEWAY__LISTN: unknown setting; did you mean CORTEX_GATEWAY__LISTEN?');
    expect(missing.err + variable.err).not.toMatch(noStack);
  });
});

describe('cortex', () => {
  it('says what was probably meant, in a line or two', async () => {
    const [command, option] = await Promise.all([run(['stauts']), run(['status', '--jsn'])]);
    expect([command.code, command.err]).toEqual([2, "error: unknown command 'stauts'\n(Did you mean status?)\n"]);
    expect([option.code, option.err]).toEqual([2, "error: unknown option '--jsn'\n(Did you mean --json?)\n"]);
  });

  it('shows its commands, examples and exit codes, and each command its own', async () => {
    const [all, one] = await Promise.all([run(['--help']), run(['unload', '--help'])]);
    expect([all.code, one.code]).toEqual([0, 0]);
    expect(all.out).toMatch(/Exit codes: 0 done, 1 failed, 2 /);
    expect(all.out).not.toContain('probe-engine');
    const [up, pull, chat] = await Promise.all(['up', 'pull', 'chat'].map((name) => run([name, '--help'])));
    const lines = [all, one, up, pull, chat].flatMap((shown) => shown?.out.split('\n') ?? []);
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    // What may be repeated has no default to tell of.
    expect(lines.filter((line) => line.includes('[]'))).toEqual([]);
    expect(one.out).toMatch(/--force\s.*\n[\s\S]*Examples:\n {2}cortex unload /);
  });

  it('tells a fault of its own in one line, and where it is when asked', async () => {
    // An answer that no gateway gives: what is trusted in it is not there.
    const wrong = createHttpServer((_, response) => response.end('{"nodes":[{}],"models":[],"queue":{},"plans":[]}'));
    await new Promise<void>((resolve) => wrong.listen(0, '127.0.0.1', () => resolve()));
    const CORTEX_URL = `http://127.0.0.1:${(wrong.address() as AddressInfo).port}`;
    const [plain, debug] = await Promise.all([
      run(['status'], { CORTEX_URL }),
      run(['status'], { CORTEX_URL, CORTEX_DEBUG: '1' }),
    ]);
    wrong.close();
    expect([plain.code, plain.err]).toEqual([
      1,
      expect.stringMatching(/^TypeError: .* \(CORTEX_DEBUG=1 shows where\)\n$/),
    ]);
    expect(debug.err).toMatch(noStack);
  });

  it('goes on watching a gateway that is away for a while', async () => {
    const fleet = '{"nodes":[],"models":[],"queue":{"waiting":0,"oldest_secs":0},"plans":[]}';
    const gateway = createHttpServer((_, response) => response.end(fleet));
    await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', () => resolve()));
    const { port } = gateway.address() as AddressInfo;
    const { child, ended } = start(['status', '--watch', '--json'], { CORTEX_URL: `http://127.0.0.1:${port}` });
    let lines = 0;
    const another = async (): Promise<void> => {
      const before = lines;
      while (lines === before) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    child.stdout.on('data', (chunk) => (lines += String(chunk).split('\n').length - 1));
    await another();
    gateway.closeAllConnections();
    gateway.close();
    await new Promise<void>((resolve) => {
      child.stderr.on('data', (chunk) => {
        if (String(chunk).includes('; trying again')) resolve();
      });
    });
    gateway.listen(port, '127.0.0.1');
    await another();
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ code: 130 });
    gateway.closeAllConnections();
    gateway.close();
  });

  it('ends quietly when its reader has seen enough', async () => {
    const { child, ended } = start(['completion', 'fish']);
    child.stdout.destroy();
    expect(await ended).toMatchObject({ code: 0, err: '' });
  });
});

describe('cortex check-config', () => {
  it('is content with files that are right, the catalogue found beside cortex.toml', async () => {
    const file = await write('cortex.toml', '[[neurons]]\nname = "a"\nendpoint = "http://a:1"\n');
    const without = await run(['check-config', '--config', file]);
    expect(without.out).toBe(`${file} is fine: 1 neuron, 0 upstreams, 0 keys, no catalogue\n`);
    await write('models.toml', '[[models]]\nid = "m"\npinned_on = ["a"]\n[aliases]\nx = "m"\n');
    const { code, out } = await run(['check-config', '--config', file]);
    expect(code).toBe(0);
    expect(out).toContain('1 model and 1 alias in ');
  });

  it('lists everything that is wrong with a file, with its line', async () => {
    const file = await write('cortex.toml', '[gateway]\nlisen = "x"\n[proxy]\nattempts_max = 0\n');
    const { code, err } = await run(['check-config', '--config', file]);
    expect(code).toBe(2);
    expect(err).toContain(`${file}:2: gateway.lisen: unknown key; did you mean listen?`);
    expect(err).toContain(`${file}:4: proxy.attempts_max: `);
    expect(err).not.toMatch(noStack);
  });

  it('sees a pin on a node that does not exist', async () => {
    const file = await write('cortex.toml', '');
    await write('models.toml', '[[models]]\nid = "m"\npinned_on = ["beast"]\n');
    const { code, err } = await run(['check-config', '--config', file]);
    expect(code).toBe(2);
    expect(err).toContain('m: pinned_on: no node is called beast');
  });
});
