import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readNeuronConfig } from './read-config.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'config-'));
});
afterEach(() => rm(dir, { recursive: true }));

const given = { env: {}, homeDir: '/home/me' };
const write = async (text: string): Promise<string> => {
  const file = path.join(dir, 'neuron.toml');
  await writeFile(file, text);
  return file;
};

describe('readNeuronConfig', () => {
  it('starts relative folders of the file at the file, those of flags at the working directory', async () => {
    const file = await write('model_dirs = ["models", "/abs", "~/mine", "~"]');
    const { config } = await readNeuronConfig({ ...given, file, modelDirs: ['here'] });
    expect(config.model_dirs).toEqual([
      path.resolve('here'),
      path.join(dir, 'models'),
      '/abs',
      '/home/me/mine',
      '/home/me',
    ]);
  });

  it('adds the models of flags to those of the file, each once', async () => {
    const file = await write('[[default_models]]\nid = "a"\n');
    const { config } = await readNeuronConfig({ ...given, file, load: ['b', 'a'] });
    expect(config.default_models).toEqual([{ id: 'a' }, { id: 'b' }]);
  });

  it('lets flags stand over the environment and that over the file', async () => {
    const file = await write('port = 1\nhost = "file"');
    const env = { NEURON_PORT: '2', NEURON_HOST: 'env' };
    const flags = [{ name: '--port', path: ['port'], value: 3 }];
    const { config } = await readNeuronConfig({ ...given, file, env, flags });
    expect([config.port, config.host]).toEqual([3, 'env']);
  });

  it('wants a file that was named, and can do without one that was not', async () => {
    await expect(readNeuronConfig({ ...given, file: path.join(dir, 'no.toml') })).rejects.toThrow(/no such file/);
    expect(await readNeuronConfig({ ...given, file: null })).toMatchObject({ file: null, config: { port: 13_131 } });
  });
});
