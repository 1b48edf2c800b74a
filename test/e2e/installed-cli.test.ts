/**
 * The commands as a stranger gets them: packed, installed from the archive into an empty folder, started, asked.
 * Only with TEST_PACK, as `npm run test:pack` sets it: it needs the npm registry, and packing writes into packages/cli.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../source-files.ts';

const isAsked = process.env['TEST_PACK'] !== undefined;
const run = promisify(execFile);

/** Two builds, a download and a load on a busy machine. */
const timeoutMs = 600_000;

const packageDir = 'node_modules/@cortex/cli';

/** Without what npm tells the scripts it runs: this folder is nobody's workspace. */
const cleanEnv = (home: string): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.toLowerCase().startsWith('npm_'))),
  HOME: home,
});

/** What stands behind `API` in its report, once it says how to end it. */
const untilUp = (child: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    let output = '';
    const read = (data: Buffer): void => {
      output += data.toString();
      const url = /API\s+(http:\S+)\/v1/.exec(output)?.[1];
      if (url !== undefined && output.includes('Ctrl-C ends it')) resolve(url);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('exit', (code) => reject(new Error(`cortex up ended with ${code}:\n${output}`)));
  });

describe.skipIf(!isAsked)('the packed commands (TEST_PACK=1, by npm run test:pack)', () => {
  let dir = '';
  let files: readonly string[] = [];
  let up: ChildProcess;
  let url = '';

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'cortex-pack-'));
    const packed = await run('npm', ['pack', '-w', 'packages/cli', '--pack-destination', dir], { cwd: root });
    const archive = path.join(dir, packed.stdout.trim().split('\n').at(-1) ?? '');
    files = (await run('tar', ['tzf', archive])).stdout.trim().split('\n');
    const app = path.join(dir, 'app');
    await mkdir(app);
    const env = cleanEnv(path.join(dir, 'home'));
    const quiet = ['--prefer-offline', '--no-audit', '--no-fund'];
    await run('npm', ['install', ...quiet, '--prefix', app, archive], { cwd: app, env });
    const ports = ['--port', '0', '--metrics-port', '0', '--neuron-port', '0'];
    up = spawn(path.join(app, 'node_modules/.bin/cortex'), ['up', '--demo', ...ports], { cwd: app, env });
    url = await untilUp(up);
  }, timeoutMs);

  afterAll(async () => {
    up?.kill('SIGKILL');
    if (dir !== '') await rm(dir, { recursive: true, force: true });
  });

  it('hold the model, the page, the settings and the units, and no binary', () => {
    expect(files).toEqual(
      expect.arrayContaining([
        'package/LICENSE',
        'package/cortex.example.toml',
        'package/deploy/systemd/neuron.service',
        'package/models/shapes-vl/model.safetensors',
        'package/node_modules/@cortex/page/dist/index.html',
        'package/schemas/cortex.schema.json',
      ]),
    );
    expect(files.filter((file) => /\.(node|so|dylib|dll|wasm|map|ts)(\.|$)/.test(file))).toEqual([]);
  });

  it('leave nothing behind where they were packed', () => {
    expect(
      ['node_modules/@cortex', 'models', 'LICENSE'].filter((one) => existsSync(path.join(root, 'packages/cli', one))),
    ).toEqual([]);
  });

  it('answer about a picture', async () => {
    const samples = path.join(dir, 'app', packageDir, 'models/shapes-vl/samples');
    const picture = await readFile(path.join(samples, 'shapes-1-224x224.png'), 'base64');
    const content = [
      { type: 'text', text: "What's in this image?" },
      { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } },
    ];
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'shapes-vl', temperature: 0, messages: [{ role: 'user', content }] }),
    });
    const answer = (await response.json()) as { choices: { message: { content: string } }[] };
    expect(answer.choices[0]?.message.content).toMatch(/white square/);
  });

  it('show the page', async () => {
    const response = await fetch(url, { headers: { accept: 'text/html' } });
    expect(response.headers.get('content-type')).toMatch(/^text\/html/);
    expect(await response.text()).toContain('<script');
  });

  it('bring the neuron as a command of its own', async () => {
    const { stdout } = await run(path.join(dir, 'app/node_modules/.bin/neuron'), ['--help'], { cwd: dir });
    expect(stdout).toContain('serve');
  });

  it('end when asked to, and with them the neuron', async () => {
    const ended = once(up, 'exit');
    up.kill('SIGTERM');
    expect((await ended)[0]).toBe(0);
  });
});
