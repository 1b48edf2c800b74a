import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CortexError, neuronConfigSchema, type Health, type NeuronConfig } from '@cortex/core';
import { fakeModel, FakeHarness, hangs } from '../test/fake-harness.ts';
import { until } from '../test/start-server.ts';
import { startNeuron, storeOptions, type EngineParts, type Neuron } from './main.ts';

let home: string;
const running: Neuron[] = [];
beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'neuron-'));
});
afterEach(async () => {
  for (const neuron of running.splice(0)) await neuron.close(0);
  await rm(home, { recursive: true });
});

const configOf = (rest: object = {}): NeuronConfig => neuronConfigSchema.parse({ host: '127.0.0.1', port: 0, ...rest });

const start = async (config: NeuronConfig, harness = new FakeHarness()): Promise<Neuron> => {
  const engine = { harness, ggml: { version: '0.25.1', commit: 'abc' }, backends: ['cpu'] };
  const neuron = await startNeuron(config, { env: {}, homeDir: home }, async () => engine, pino({ level: 'silent' }));
  running.push(neuron);
  return neuron;
};

const get = async (neuron: Neuron, call: string): Promise<unknown> => (await fetch(neuron.url + call)).json();
const activation = async (neuron: Neuron): Promise<Health['activation']> =>
  ((await get(neuron, '/health')) as Health).activation;

const noEngine = async (): Promise<never> => {
  throw new CortexError('internal_error', 'libggml is not installed');
};

describe('startNeuron', () => {
  it('answers while the default models are still loading, and says how far they are', async () => {
    const harness = new FakeHarness();
    const release = harness.holdLoads();
    const neuron = await start(configOf({ default_models: [{ id: 'org/tiny' }, { id: 'plain' }] }), harness);
    expect(await activation(neuron)).toEqual({ state: 'loading', loaded: [], failed: [] });
    release();
    await neuron.activated;
    expect(await activation(neuron)).toEqual({ state: 'ready', loaded: ['org/tiny', 'plain'], failed: [] });
  });

  it('loads the others when one default model fails, and keeps the reason', async () => {
    const neuron = await start(configOf({ default_models: [{ id: 'none' }, { id: 'plain' }] }));
    await neuron.activated;
    expect(await activation(neuron)).toEqual({
      state: 'failed',
      loaded: ['plain'],
      failed: [{ id: 'none', error: 'there is no model none here' }],
    });
  });

  it('is idle when there is nothing to load', async () => {
    const neuron = await start(configOf());
    await neuron.activated;
    expect((await activation(neuron)).state).toBe('idle');
  });

  it('tells its version, its host, and why it has no CUDA', async () => {
    const harness = new FakeHarness();
    Object.assign(harness, { devices: [{ index: 0, name: 'CPU', backend: 'cpu', vram_total_mb: 1 }] });
    const neuron = await start(configOf({ harness: { ggml: { context_max: 4096 } } }), harness);
    expect(await get(neuron, '/version')).toMatchObject({ ggml: { version: '0.25.1' }, backends: ['cpu'] });
    expect(await get(neuron, '/discovery')).toMatchObject({
      hostname: expect.any(String),
      cuda_unavailable_reason: expect.any(String),
      harnesses: ['fake'],
      max_prompt_tokens: 4096,
    });
  });

  it('gives the engine its settings and a store that looks where the config says', async () => {
    const dir = path.join(home, 'models', 'tiny');
    await mkdir(dir, { recursive: true });
    await writeFile(path.join(dir, 'config.json'), '{}');
    await writeFile(path.join(dir, 'model.safetensors'), 'x');
    let given: EngineParts | undefined;
    const config = configOf({
      model_dirs: [path.join(home, 'models')],
      default_models: [{ id: 'tiny', quant: 'q8_0' }],
      harness: { ggml: { parallel: 9 } },
    });
    const neuron = await startNeuron(
      config,
      { env: {}, homeDir: home },
      async (parts) => {
        given = parts;
        return { harness: new FakeHarness(), ggml: { version: '1', commit: 'a' }, backends: [] };
      },
      pino({ level: 'silent' }),
    );
    running.push(neuron);
    expect(given?.config.parallel).toBe(9);
    expect(given?.defaultModels).toEqual([{ id: 'tiny', quant: 'q8_0' }]);
    expect(await given?.store.find('tiny')).toMatchObject({ dir });
    expect(neuron.startup).toMatch(/1 on disk\n +tiny/);
  });

  it('asks for the token and takes no larger body than it is told to', async () => {
    const neuron = await start(configOf({ token: 'a-long-token', body_limit_mb: 1 }));
    expect((await fetch(`${neuron.url}/models`)).status).toBe(401);
    const headers = { authorization: 'Bearer a-long-token', 'content-type': 'application/json' };
    const large = await fetch(`${neuron.url}/tokenize`, { method: 'POST', headers, body: 'x'.repeat(1024 * 1024 + 1) });
    expect(large.status).toBe(413);
  });

  it('closes the engine again when the port is taken', async () => {
    const first = await start(configOf());
    const harness = new FakeHarness();
    const port = Number(new URL(first.url).port);
    await expect(start(configOf({ port }), harness)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    expect(harness.closedWith).not.toBeNull();
  });

  it('passes on why there is no engine', async () => {
    const environment = { env: {}, homeDir: home };
    await expect(startNeuron(configOf(), environment, noEngine, pino({ level: 'silent' }))).rejects.toThrow(/libggml/);
  });
});

describe('closing', () => {
  it('ends what runs after the grace, frees the devices once, and then the port', async () => {
    const harness = new FakeHarness();
    harness.script = hangs();
    const neuron = await start(configOf(), harness);
    const body = JSON.stringify({ model: 'plain', messages: [{ role: 'user', content: 'x' }], stream: true });
    const headers = { 'content-type': 'application/json' };
    const stream = fetch(`${neuron.url}/v1/chat/completions`, { method: 'POST', headers, body });
    await until(() => harness.running === 1);
    await Promise.all([neuron.close(20), neuron.close(20)]);
    expect(await (await stream).text()).toContain('"code":"overloaded"');
    expect(harness.closedWith).toBe(0);
    await expect(fetch(neuron.url)).rejects.toThrow('fetch failed');
  });
});

describe('the start-up text', () => {
  it('shows devices, models and address, and warns of an open port', async () => {
    const harness = new FakeHarness();
    harness.catalogue = [fakeModel('plain')];
    const closed = await start(configOf(), harness);
    expect(closed.startup).toContain('device 0 cuda  Fake GPU');
    expect(closed.startup).toContain('none on disk (no model_dirs are set)');
    expect(closed.startup).not.toContain('without a token');
    const open = await start(configOf({ host: '0.0.0.0' }));
    expect(open.startup).toContain('without a token');
  });
});

describe('storeOptions', () => {
  const allowed = configOf({ harness: { ggml: { allow_download: true } } });

  it('has no hub unless downloads are allowed and the host is online', () => {
    expect(storeOptions(configOf(), { env: {}, homeDir: '/h' }).hub).toBeNull();
    expect(storeOptions(allowed, { env: { HF_HUB_OFFLINE: '1' }, homeDir: '/h' }).hub).toBeNull();
    expect(storeOptions(allowed, { env: {}, homeDir: '/h' }).hub).toEqual({ endpoint: 'https://huggingface.co' });
  });

  it('takes mirror, token and cache from the variables that everyone uses', () => {
    const env = { HF_ENDPOINT: 'https://mirror.example/', HF_TOKEN: ' hf_x\n', HF_HOME: '/data/hf' };
    expect(storeOptions(allowed, { env, homeDir: '/h' })).toMatchObject({
      hub: { endpoint: 'https://mirror.example', token: 'hf_x' },
      hubCacheDir: '/data/hf/hub',
    });
  });
});
