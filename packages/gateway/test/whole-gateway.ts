/** Whole gateways over fake neurons inside a test, as they are served, and what tests ask of them. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startGateway, type Gateway } from '../src/main.ts';
import { readGatewayConfig } from '../src/read-config.ts';
import { FakeNeuron } from './fake-neuron/fake-neuron.ts';
import { newModel } from './fake-neuron/settings.ts';

export const closers: (() => Promise<unknown>)[] = [];

/** After each test. */
export const closeAll = async (): Promise<void> => {
  for (const close of closers.splice(0).toReversed()) await close();
};

export const neuron = async (
  name: string,
  models: readonly ReturnType<typeof newModel>[],
  vramMb = 16_000,
): Promise<FakeNeuron> => {
  const node = await new FakeNeuron({ name, models, devices: [{ vram_total_mb: vramMb }] }).start();
  closers.push(() => node.stop());
  return node;
};

export const loaded = (tokenMs = 0): readonly ReturnType<typeof newModel>[] => [
  newModel('m', { status: 'loaded', token_ms: tokenMs }),
];

export const start = async (
  nodes: readonly FakeNeuron[],
  config = '',
  models = '',
  keepaliveSecs = 0.05,
  port = 0,
): Promise<Gateway> => {
  const dir = await mkdtemp(join(tmpdir(), 'gateway-'));
  closers.push(() => rm(dir, { recursive: true }));
  const tables = nodes.map(({ name, url }) => `[[neurons]]\nname = "${name}"\nendpoint = "${url}"\n`);
  const gateway = `[gateway]\nlisten = "127.0.0.1:${port}"\nmetrics_listen = "127.0.0.1:0"\nkeepalive_secs = ${keepaliveSecs}\n`;
  const poller = '[poller]\ninterval_secs = 0.1\n';
  await writeFile(join(dir, 'cortex.toml'), gateway + poller + config + tables.join(''));
  await writeFile(join(dir, 'models.toml'), models);
  const started = await startGateway(await readGatewayConfig({ file: join(dir, 'cortex.toml'), env: {} }), {
    write: () => undefined,
  });
  closers.push(() => started.close(0));
  return started;
};

export const get = async (url: string): Promise<Record<string, unknown>> =>
  (await (await fetch(url)).json()) as Record<string, unknown>;

export const until = async (holds: () => Promise<boolean>): Promise<void> => {
  const untilMs = performance.now() + 8000;
  while (!(await holds())) {
    if (performance.now() > untilMs) throw new Error('did not come true');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

export const nodesUp = (gateway: Gateway, n: number): Promise<void> =>
  until(async () => ((await get(`${gateway.url}/health`))['nodes'] as { up: number }).up === n);

export const stream = (gateway: Gateway, model: string): Promise<Response> =>
  fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: 'hello' }] }),
  });

/** States of the models as `/v1/models` lists them. */
export const states = async (gateway: Gateway): Promise<Record<string, unknown>> => {
  const { data } = (await get(`${gateway.url}/v1/models`)) as { data: { id: string; state: string }[] };
  return Object.fromEntries(data.map(({ id, state }) => [id, state]));
};
