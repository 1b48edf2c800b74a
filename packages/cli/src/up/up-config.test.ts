import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readUpConfig, type UpConfig, type UpFlags } from './up-config.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'up-config-'));
});
afterEach(() => rm(dir, { recursive: true }));

const write = async (name: string, text: string): Promise<string> => {
  const file = path.join(dir, name);
  await writeFile(file, text);
  return file;
};

const neuron = (name: string, port: number): string =>
  `[[neurons]]\nname = "${name}"\nendpoint = "http://127.0.0.1:${port}"\n`;

/** In a home without models, and a working directory without settings. */
const read = (flags: Partial<UpFlags> = {}, env: Readonly<Record<string, string>> = {}): Promise<UpConfig> =>
  readUpConfig(flags, { env, homeDir: dir });

describe('what cortex up runs', () => {
  it('without a word keeps to this machine and shows the bundled model', async () => {
    const config = await read();
    expect(config.demo?.id).toBe('shapes-vl');
    expect(config.neuron).toMatchObject({ host: '127.0.0.1', port: 13_131, default_models: [{ id: 'shapes-vl' }] });
    const { cortex } = await config.gateway(13_131);
    expect(cortex.gateway.listen).toEqual({ host: '127.0.0.1', port: 31_313 });
    expect(cortex.gateway.metrics_listen).toEqual({ host: '127.0.0.1', port: 31_314 });
    expect(cortex.neurons).toEqual([{ name: 'local', endpoint: 'http://127.0.0.1:13131' }]);
  });

  it('shows it only where there is nothing else to serve, or on request', async () => {
    expect((await read({ load: ['org/model'] })).demo).toBeNull();
    expect((await read({ demo: false })).demo).toBeNull();
    const both = await read({ demo: true, load: ['org/model'] });
    expect(both.neuron.default_models).toEqual([{ id: 'org/model' }, { id: 'shapes-vl' }]);
    const models = path.dirname(path.join(both.demo?.sample.picture ?? '', '../..'));
    expect((await read({ modelDir: [models] })).demo).toBeNull();
  });

  it('follows variables over its defaults, and flags over both', async () => {
    const env = { CORTEX_GATEWAY__LISTEN: '0.0.0.0:8080', NEURON_PORT: '7000', CORTEX_URL: 'http://elsewhere' };
    const plain = await read({ demo: false }, env);
    expect(plain.neuron.port).toBe(7000);
    expect((await plain.gateway(7000)).cortex.gateway.listen).toEqual({ host: '0.0.0.0', port: 8080 });
    const flags = await read({ demo: false, port: 1, metricsPort: 2, neuronPort: 3, host: '::1' }, env);
    expect(flags.neuron.port).toBe(3);
    const { gateway } = (await flags.gateway(3)).cortex;
    expect([gateway.listen, gateway.metrics_listen]).toEqual([
      { host: '::1', port: 1 },
      { host: '::1', port: 2 },
    ]);
  });

  it('joins the fleet of a file, once', async () => {
    const file = await write('cortex.toml', `[gateway]\nlisten = "0.0.0.0:9"\n${neuron('beast', 13_131)}`);
    const config = await read({ config: file, demo: false });
    const { cortex } = await config.gateway(13_131);
    expect(cortex.gateway.listen).toEqual({ host: '0.0.0.0', port: 9 });
    expect(cortex.neurons.map(({ name }) => name)).toEqual(['beast']);
    expect((await config.gateway(13_132)).cortex.neurons.map(({ name }) => name)).toEqual(['beast', 'local']);
    const taken = await read({ config: await write('cortex.toml', neuron('local', 1)), demo: false });
    await expect(taken.gateway(2)).rejects.toThrow('a node of it is called local already');
  });

  it('tells the gateway the token of its neuron, where it knows it', async () => {
    const open = await read({ neuronConfig: await write('neuron.toml', 'token = "let-me-in"\n') });
    expect((await open.gateway(1)).cortex.gateway.neuron_token).toBe('let-me-in');
    const hashed = await read({ neuronConfig: await write('neuron.toml', `token = "sha256:${'a'.repeat(64)}"\n`) });
    await expect(hashed.gateway(1)).rejects.toThrow('set [gateway] neuron_token in cortex.toml');
  });
});
