/** For end-to-end tests: the real `neuron` command as a process of its own, on a free port. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { healthSchema, type Health } from '@cortex/core';
import OpenAI from 'openai';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const shapesModel = 'shapes-vl';
export const fixtureModel = 'qwen3_5-vl-tiny';
/** Ends of the fixture model's answers: barred, an answer is as long as was asked. */
export const fixtureEos = { '626': -100, '628': -100 };

const startMsMax = 60_000;

export interface NeuronOptions {
  /** Beside `models/` and `fixtures/models/`. */
  readonly modelDirs?: readonly string[];
  readonly load?: readonly string[];
  /** Small graphs on a busy machine: two would wait for each other at every operation. 1 by default. */
  readonly threads?: number;
  /** Lines of `[harness.ggml]`. */
  readonly ggml?: readonly string[];
  /** What `npm run build` has made is run, as users have it, and not the source. */
  readonly isBuilt?: boolean;
}

export interface JsonAnswer {
  readonly status: number;
  readonly body: { readonly error?: Readonly<Record<string, unknown>> } & Readonly<Record<string, unknown>>;
}

export interface NeuronProcess extends AsyncDisposable {
  readonly url: string;
  readonly process: ChildProcess;
  readonly client: OpenAI;
  health(): Promise<Health>;
  /** Requests that the model is answering now. */
  inFlight(model: string): Promise<number>;
  post(path: string, body: unknown): Promise<JsonAnswer>;
}

const configText = ({ modelDirs = [], load = [], threads = 1, ggml = [] }: NeuronOptions): string =>
  [
    'host = "127.0.0.1"',
    'port = 0',
    'log_level = "info"',
    'drain_secs = 1',
    `model_dirs = ${JSON.stringify([join(root, 'models'), join(root, 'fixtures/models'), ...modelDirs])}`,
    ...load.map((id) => `[[default_models]]\nid = "${id}"`),
    '[harness.ggml]',
    `threads = ${threads}`,
    ...ggml,
  ].join('\n');

/** The address, once the log says it has started. @throws Error with what it wrote if it ends first. */
const untilStarted = (child: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    let output = '';
    const fail = (why: string): void => reject(new Error(`the neuron ${why}:\n${output}`));
    const timer = setTimeout(() => fail(`did not start within ${startMsMax / 1000} s`), startMsMax);
    const read = (chunk: Buffer): void => {
      output += chunk.toString();
      const url = /listening on (http:\/\/[\d.]+:\d+)/.exec(output)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      for (const stream of [child.stdout, child.stderr]) stream?.off('data', read).resume();
      resolve(url);
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('exit', (code, signal) => fail(`ended with ${code ?? signal}`));
  });

const stop = async (child: ChildProcess, dir: string): Promise<void> => {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
    await ended;
    clearTimeout(timer);
  }
  await rm(dir, { recursive: true, force: true });
};

/** Resolves when its default models are loaded. */
const untilActive = async (health: () => Promise<Health>): Promise<void> => {
  for (const start = Date.now(); Date.now() - start < startMsMax;) {
    const { activation } = await health();
    if (activation.state === 'failed') throw new Error(JSON.stringify(activation.failed));
    if (activation.state !== 'loading') return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`the models were not loaded within ${startMsMax / 1000} s`);
};

export const startNeuronProcess = async (options: NeuronOptions): Promise<NeuronProcess> => {
  const dir = await mkdtemp(join(tmpdir(), 'neuron-'));
  const config = join(dir, 'neuron.toml');
  await writeFile(config, configText(options));
  const source = ['--import', 'tsx', '--conditions=source', 'packages/cli/src/neuron.ts'];
  const program = options.isBuilt === true ? ['packages/cli/dist/neuron.js'] : source;
  const command = [...program, 'serve', '--config', config];
  const env = { ...process.env, HF_HOME: join(dir, 'hub'), HF_HUB_CACHE: undefined, NODE_OPTIONS: undefined };
  const child = spawn(process.execPath, command, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let url = '';
  const health = async (): Promise<Health> => healthSchema.parse(await (await fetch(`${url}/health`)).json());
  try {
    url = await untilStarted(child);
    await untilActive(health);
  } catch (error) {
    await stop(child, dir);
    throw error;
  }
  return {
    url,
    process: child,
    client: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 }),
    health,
    inFlight: async (model) => (await health()).models.find(({ id }) => id === model)?.in_flight ?? 0,
    post: async (path, body) => {
      const response = await fetch(url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      });
      return { status: response.status, body: (await response.json()) as JsonAnswer['body'] };
    },
    [Symbol.asyncDispose]: () => stop(child, dir),
  };
};
