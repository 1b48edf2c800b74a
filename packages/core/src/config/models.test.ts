import { describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { parseConfig } from './load.ts';
import { modelsConfigSchema, type ModelsConfig } from './models.ts';
import { keyPaths } from './schema-walk.ts';

const read = (text: string): ModelsConfig => parseConfig(modelsConfigSchema, { file: 'models.toml', text });

describe('models.toml', () => {
  it('takes a profile with dotted keys and aliases with globs', () => {
    const config = read(
      '[[models]]\nid = "a/b"\nlimit.context = 10\ncost.input = 0.5\ncost.output = 1\n[aliases]\n"claude-*" = "a/b"\n',
    );
    expect(config.models[0]).toMatchObject({ id: 'a/b', harness: 'ggml', min_devices: 1, limit: { context: 10 } });
    expect(config.aliases).toEqual({ 'claude-*': 'a/b' });
  });

  it('keeps "price unknown" and "free" apart', () => {
    const [unknown, free] = read(
      '[[models]]\nid = "a"\n[[models]]\nid = "b"\ncost.input = 0\ncost.output = 0\n',
    ).models;
    expect(unknown?.cost).toBeUndefined();
    expect(free?.cost).toEqual({ input: 0, output: 0 });
  });

  it('refuses a model written twice and an alias that is a model', () => {
    expect(() => read('[[models]]\nid = "a"\n[[models]]\nid = "a"\n')).toThrow(/models\.toml:4: models\[1\]\.id/);
    expect(() => read('[[models]]\nid = "a"\n[aliases]\na = "b"\n')).toThrow(/aliases\.a: is the id of a model/);
  });

  it('refuses layers of their own for devices that share every layer', () => {
    expect(() => read('[[models]]\nid = "a"\nmin_devices = 2\nlayer_offload = true\n')).toThrow(
      /models\.toml:4: models\[0\]\.layer_offload: devices share every layer/,
    );
    const [model] = read('[[models]]\nid = "a"\nmin_devices = 2\nlayer_offload = false\n').models;
    expect(model?.layer_offload).toBe(false);
  });

  it('names the nearest key for a slip', () => {
    expect(() => read('[[models]]\nid = "a"\nresidency_prio = 1\n')).toThrow(/did you mean residency_priority\?/);
  });
});

describe('models.example.toml', () => {
  const text = readFileSync(new URL('../../../../models.example.toml', import.meta.url), 'utf8');

  it('parses', () => {
    const config = read(text);
    expect(config.models.length).toBeGreaterThan(2);
    expect(Object.keys(config.aliases).length).toBeGreaterThan(0);
  });

  it('explains every key of the schema', () => {
    for (const path of keyPaths(modelsConfigSchema)) {
      expect(text).toContain(path.at(-1));
    }
  });
});
