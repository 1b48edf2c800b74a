import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const program = fileURLToPath(new URL('../test/neuron-over-fake.ts', import.meta.url));

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cli-'));
});
afterEach(() => rm(dir, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

class Running {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly ended: Promise<Ended>;
  out = '';
  err = '';

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', program, ...args], {
      cwd: path.dirname(program),
      env: { PATH: process.env['PATH'] ?? '', HOME: dir, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout.on('data', (chunk) => (this.out += String(chunk)));
    this.child.stderr.on('data', (chunk) => (this.err += String(chunk)));
    this.ended = new Promise((resolve) =>
      this.child.once('close', (code) => resolve({ code, out: this.out, err: this.err })),
    );
  }

  /** The address from the start-up text. */
  async url(): Promise<string> {
    for (;;) {
      const url = /listening on (\S+)/.exec(this.err)?.[1];
      if (url !== undefined) return url;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> =>
  new Running(args, env).ended;

const noStack = /^\s+at /m;

describe('neuron serve', () => {
  it('answers, loads what it was told to, and ends cleanly on SIGTERM', async () => {
    const neuron = new Running(['serve', '--port', '0', '--load', 'plain'], { NEURON_HOST: '127.0.0.1' });
    const url = await neuron.url();
    const health = await (await fetch(`${url}/health`)).json();
    expect(health).toMatchObject({ status: 'ok', activation: { failed: [] } });
    neuron.child.kill('SIGTERM');
    const { code, out } = await neuron.ended;
    expect(code).toBe(0);
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { msg: string });
    expect(lines.map(({ msg }) => msg)).toContain('shutting down');
  });

  it('says in one line that its port is taken', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', () => resolve()));
    const { port } = taken.address() as AddressInfo;
    const { code, err } = await run(['serve', '--port', String(port)], { NEURON_HOST: '127.0.0.1' });
    taken.close();
    expect(code).toBe(1);
    expect(err.trim()).toBe(`cannot listen on 127.0.0.1:${port}: something else already does`);
  });

  it('names the flag or the variable that is wrong', async () => {
    const flag = await run(['serve', '--port', 'many']);
    expect(flag.code).toBe(2);
    expect(flag.err).toMatch(/^--port: port: .*expected number/);
    const variable = await run(['serve'], { NEURON_PROT: '1' });
    expect(variable.code).toBe(2);
    expect(variable.err).toMatch(/^NEURON_PROT: unknown setting; did you mean NEURON_PORT\?/);
    expect(flag.err + variable.err).not.toMatch(noStack);
  });

  it('says which option it does not know', async () => {
    const { code, err } = await run(['serve', '--prot', '1']);
    expect(code).toBe(2);
    expect(err).toMatch(/unknown option '--prot'\n\(Did you mean --port\?\)/);
  });
});

describe('neuron check-config', () => {
  it('is content with a file that is right', async () => {
    const file = path.join(dir, 'neuron.toml');
    await writeFile(file, 'port = 13131\n');
    const { code, out } = await run(['check-config', '--config', file]);
    expect([code, out]).toEqual([0, `${file} is fine: 0 model dirs, 0 default models\n`]);
  });

  it('lists everything that is wrong, with its line', async () => {
    const file = path.join(dir, 'neuron.toml');
    await writeFile(file, 'prot = 1\n[harness.ggml]\nparallel = 0\n');
    const { code, err } = await run(['check-config', '--config', file]);
    expect(code).toBe(2);
    expect(err).toContain(`${file}:1: prot: unknown key; did you mean port?`);
    expect(err).toContain(`${file}:3: harness.ggml.parallel: `);
    expect(err).not.toMatch(noStack);
  });
});
