/** The commands as people run them, against one `cortex up` with the bundled model. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { FleetSnapshot } from '@cortex/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BenchFigures } from '../src/bench/bench-figures.ts';
import type { Finding } from '../src/doctor/finding.ts';
import { cortex, isAlive, Running, type Ended } from './run-cortex.ts';

const samples = path.resolve(import.meta.dirname, '../../../models/shapes-vl/samples');
const picture = path.join(samples, 'shapes-1-224x224.png');
const noStack = /^\s+at /m;

let dir: string;
let up: Running;
let url: string;

beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cortex-up-'));
  const ports = ['--port', '0', '--metrics-port', '0', '--neuron-port', '0'];
  up = new Running(['up', '--demo', ...ports], { cwd: dir, env: { HOME: dir, NEURON_HARNESS__GGML__THREADS: '1' } });
  url = (await up.found(/open\s+(http:\S+)\/\n/))[1] ?? '';
  await up.found(/Ctrl-C ends it/);
}, 120_000);

afterAll(async () => {
  up.child.kill('SIGKILL');
  await rm(dir, { recursive: true, force: true });
});

const ask = (args: readonly string[], input?: string): Promise<Ended> =>
  cortex(args, { cwd: dir, env: { HOME: dir, CORTEX_URL: url }, ...(input === undefined ? {} : { input }) });

const fleet = async (): Promise<FleetSnapshot> => (await (await fetch(`${url}/api/fleet`)).json()) as FleetSnapshot;

describe('cortex up', () => {
  it('shows what it found, asks about a picture, and says where to go on', () => {
    expect(up.out).toMatch(/^cortex \d+\.\d+\.\d+ · Node v/);
    expect(up.out).toMatch(/devices\s+cpu 0\s.* free of /);
    expect(up.out).toMatch(/models\s+shapes-vl\s+text, vision/);
    expect(up.out).toMatch(/loaded\s+shapes-vl in /);
    expect(up.out).toMatch(/> What's in this image\?\n {2}\w.* on an? \w+ background\.\n/);
    expect(up.out).toMatch(/metrics\s+http:\S+\/metrics\n/);
    // Nobody watches this pipe: nothing is redrawn, nothing coloured.
    expect(up.out).not.toContain('\r');
    expect(up.out).not.toContain('\u001B');
  });

  it('prints a curl that works when it is pasted', async () => {
    const [command] = /^curl [\s\S]*?\nEOF$/m.exec(up.out) ?? [''];
    const { stdout } = await promisify(execFile)('sh', ['-c', command], { cwd: dir });
    expect(stdout).toMatch(/"content":"[^"]* background\."/);
  });
});

describe('cortex status and models', () => {
  it('show nodes, memory and models, and all there is as JSON', async () => {
    const [table, json, models] = await Promise.all([ask(['status']), ask(['status', '--json']), ask(['models'])]);
    expect(table.out).toMatch(/^cortex {2}http:\S+ {2}1 of 1 node up · 1 model loaded · none waiting\n/);
    expect(table.out).toMatch(/local {2}up .*\n {2}cpu 0 .* of .*B\n {2}shapes-vl {2}loaded /);
    expect((JSON.parse(json.out) as FleetSnapshot).nodes[0]?.devices[0]?.backend).toBe('cpu');
    expect(models.out).toMatch(
      /^MODEL\s+STATE\s+CONTEXT\s+TAKES\s+NODES\nshapes-vl\s+loaded\s+\S+\s+text, vision\s+local\n$/,
    );
  });
});

describe('cortex chat', () => {
  it('takes a prompt from a pipe and puts the answer alone into one', async () => {
    const { code, out, err } = await ask(['chat'], 'Hello\n');
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^\w.*\n$/);
    expect(out).not.toContain('\u001B');
  });

  it('shows the model a picture', async () => {
    const { out } = await ask(['chat', '--image', picture, '--temperature', '0', "What's in this image?"]);
    expect(out).toMatch(/^A .* on an? \w+ background\.\n$/);
    expect(up.out).toContain(out.trim());
  });

  it('names what is wrong without a stack', async () => {
    const [model, nowhere] = await Promise.all([
      ask(['chat', 'shapes-v', 'Hello']),
      cortex(['chat', 'Hello'], { env: { CORTEX_URL: 'http://127.0.0.1:1' } }),
    ]);
    expect([model.code, model.err]).toEqual([1, expect.stringMatching(/shapes-v\b.*shapes-vl/)]);
    // Meant as a prompt, it is a model to the command, and nothing has been typed for it yet.
    const word = await ask(['chat', 'Hello']);
    expect([word.code, word.err]).toEqual([1, expect.stringMatching(/"Hello".*shapes-vl\.\n.* one word .*\n$/)]);
    expect([nowhere.code, nowhere.err]).toEqual([1, expect.stringContaining('Start one with: cortex up')]);
    expect(model.err + nowhere.err).not.toMatch(noStack);
  });
});

describe('cortex load, unload and bench', () => {
  it('take a model out of memory, bring it back, and measure it', async () => {
    expect((await ask(['unload', 'shapes-vl'])).out).toBe('shapes-vl is unloaded from local\n');
    expect((await fleet()).models[0]?.state).toBe('available');
    expect((await ask(['load', 'shapes-vl'])).out).toMatch(/^shapes-vl is loaded on local \(.*\)\n$/);
    const { code, out } = await ask(['bench', '-n', '2', '-c', '2', '-p', '16', '-m', '8', '--json']);
    const figures = JSON.parse(out) as BenchFigures & { readonly model: string };
    expect([code, figures.model, figures.requests, figures.failed]).toEqual([0, 'shapes-vl', 2, 0]);
    expect(figures.ttft_ms?.median).toBeGreaterThan(0);
    expect(figures.prompt_tokens).toBeGreaterThan(16);
  });
});

describe('cortex doctor', () => {
  it('finds nothing broken here, and says so in its exit code', async () => {
    const { code, out } = await ask(['doctor', '--json']);
    const { broken, findings } = JSON.parse(out) as { readonly broken: number; readonly findings: readonly Finding[] };
    expect([code, broken]).toEqual([0, 0]);
    expect(findings.find(({ subject }) => subject === 'ggml')?.text).toMatch(/ggml \d.*backends .*CPU/);
    expect(findings.at(-1)).toMatchObject({ level: 'ok', text: `${url} answers; 1 of 1 node up` });
  });
});

describe('the names of models for completion', () => {
  it('are those of the gateway', async () => {
    expect((await ask(['complete-models'])).out).toBe('shapes-vl\n');
  });
});

describe('a taken port', () => {
  it('is named with the flag for another, before anything is started', async () => {
    const { port } = new URL(url);
    const args = ['up', '--no-demo', '--port', port, '--metrics-port', '0', '--neuron-port', '0'];
    const { code, out, err } = await cortex(args, { cwd: dir, env: { HOME: dir } });
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(
      `port ${port} is taken: a cortex answers there (cortex status shows it). Choose another, such as --port`,
    );
  });
});

describe('a neuron that dies', () => {
  it('leaves the gateway up, is told, and comes back with its model', async () => {
    const { nodes } = await fleet();
    const listening = nodes[0]?.endpoint ?? '';
    const pid = Number(/neuron\s+http:\S+ {2}\(process (\d+)\)/.exec(up.out)?.[1]);
    process.kill(pid, 'SIGSEGV');
    await up.found(/neuron ended with signal SIGSEGV; starting it again in 500 ms\n/);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    await up.found(/neuron is back \(process \d+\)\n/);
    expect(isAlive(pid)).toBe(false);
    while (!(await fleet()).models.some(({ state }) => state === 'loaded'))
      await new Promise((done) => setTimeout(done, 50));
    expect((await fleet()).nodes[0]?.endpoint).toBe(listening);
  });

  it('ends with its parent, however that ends', async () => {
    const pid = Number(/neuron is back \(process (\d+)\)/.exec(up.out)?.[1]);
    expect(isAlive(pid)).toBe(true);
    up.child.kill('SIGKILL');
    while (isAlive(pid)) await new Promise((done) => setTimeout(done, 20));
  });
});
