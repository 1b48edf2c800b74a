import { describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { exampleToml, exampleWithEverything } from './example.ts';
import { parseConfig } from './load.ts';
import { neuronConfigSchema, neuronEnvironment, type NeuronConfig } from './neuron.ts';

const read = (text: string, env: Record<string, string> = {}): NeuronConfig =>
  parseConfig(neuronConfigSchema, { file: 'neuron.toml', text, env, environment: neuronEnvironment });

describe('neuron.toml', () => {
  it('needs nothing: every key has a default or may be left out', () => {
    const config = read('');
    expect(config.port).toBe(13_131);
    expect(config.harness.ggml.allow_download).toBe(false);
    expect(config.harness.ggml.context_max).toBeUndefined();
  });

  it('takes the keys of the example in the documentation', () => {
    const config = read('port = 1\n[[default_models]]\nid = "a/b"\n[harness.ggml]\nparallel = 2\n');
    expect(config.default_models).toEqual([{ id: 'a/b' }]);
    expect(config.harness.ggml.parallel).toBe(2);
  });

  it('is overridden by NEURON_PORT and NEURON_HARNESS__GGML__PARALLEL', () => {
    const config = read('port = 1', { NEURON_PORT: '2', NEURON_HARNESS__GGML__PARALLEL: '3' });
    expect([config.port, config.harness.ggml.parallel]).toEqual([2, 3]);
  });

  it('refuses a token that is too short, has spaces, or is half a hash', () => {
    for (const token of ['short', 'has a space in it', 'sha256:abc'])
      expect(() => read(`token = "${token}"`)).toThrow(/neuron\.toml:1: token/);
  });
});

describe('neuron.example.toml', () => {
  const text = exampleToml(neuronConfigSchema, 'Settings of a neuron. Every value here is the default.');

  it('is the schema written out', () => {
    const file = readFileSync(new URL('../../../../neuron.example.toml', import.meta.url), 'utf8');
    expect(file).toBe(text);
  });

  it('means the same as an empty file', () => {
    expect(read(text)).toEqual(read(''));
  });

  it('names every key: written out in full it still parses', () => {
    const everything = read(exampleWithEverything(neuronConfigSchema));
    expect(everything.default_models).toHaveLength(1);
    expect(everything.harness.ggml.context_max).toBeGreaterThan(0);
    expect(everything.token).toBeDefined();
  });
});
