import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigError } from './config-error.ts';
import { configJsonSchema, loadConfig, parseConfig, type ConfigSource } from './load.ts';

const schema = z.strictObject({
  listen: z.string().default('127.0.0.1:1'),
  deep: z.strictObject({ size: z.int().min(1).default(4), fast: z.boolean().default(false) }).prefault({}),
  nodes: z.array(z.strictObject({ name: z.string(), weight: z.number().default(1) })).default([]),
  tags: z.array(z.string()).default([]),
  aliases: z.record(z.string(), z.string()).default({}),
  limit: z.union([z.int(), z.enum(['none', 'auto'])]).default('auto'),
});

const read = (text: string, rest: Partial<ConfigSource> = {}) =>
  parseConfig(schema, { file: 'x.toml', text, environment: { prefix: 'APP', reserved: ['APP_API_KEY'] }, ...rest });

const problems = (text: string, rest: Partial<ConfigSource> = {}): readonly string[] => {
  try {
    read(text, rest);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
};

describe('parseConfig', () => {
  it('fills every default from an empty file', () => {
    expect(read('')).toEqual({
      listen: '127.0.0.1:1',
      deep: { size: 4, fast: false },
      nodes: [],
      tags: [],
      aliases: {},
      limit: 'auto',
    });
  });

  it('names the nearest known key of a mistyped one, with its line', () => {
    expect(problems('listen = "a"\n\n[deep]\nszie = 3\n')).toEqual([
      'x.toml:4: deep.szie: unknown key; did you mean size?',
    ]);
  });

  it('says where a key written in the wrong table belongs', () => {
    expect(problems('fast = true\n')).toEqual(['x.toml:1: fast: unknown key here; it belongs at deep.fast']);
  });

  it('lists the known keys when nothing is near', () => {
    expect(problems('[deep]\nqqqqqqqq = 1\n')).toEqual([
      'x.toml:2: deep.qqqqqqqq: unknown key; known here: size, fast',
    ]);
  });

  it('reports every problem at once, each at its own line, also inside arrays of tables', () => {
    const text = [
      'listen = 5',
      '[[nodes]]',
      'name = "a"',
      '[[nodes]]',
      'name = "b"',
      'weight = "heavy"',
      'colour = "red"',
      '[[nodes]]',
    ].join('\n');
    expect(problems(text)).toEqual([
      expect.stringMatching(/^x\.toml:1: listen: .*expected string/),
      expect.stringMatching(/^x\.toml:6: nodes\[1\]\.weight: .*expected number/),
      expect.stringMatching(/^x\.toml:7: nodes\[1\]\.colour: unknown key/),
      expect.stringMatching(/^x\.toml:8: nodes\[2\]\.name: missing, expected string$/),
    ]);
  });

  it('is not led astray by keys inside multi-line strings', () => {
    expect(problems('listen = """\n[deep]\nsize = 1\n"""\n[deep]\nsize = -1')).toEqual([
      expect.stringMatching(/^x\.toml:6: deep\.size/),
    ]);
  });

  it('gives line and column of broken TOML', () => {
    expect(problems('listen = "a"\ndeep = [')).toEqual([expect.stringMatching(/^x\.toml:2:\d+: /)]);
  });

  it('refuses keys that would reach into prototypes', () => {
    expect(problems('__proto__.polluted = true')).toHaveLength(1);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });
});

describe('environment overrides', () => {
  it('stand over the file, typed by the schema', () => {
    const config = read('listen = "file"\n[deep]\nsize = 2\n', {
      env: {
        APP_LISTEN: '123',
        APP_DEEP__SIZE: '7',
        APP_DEEP__FAST: 'true',
        APP_TAGS: 'a, b',
        APP_NODES: '[{ name = "n" }]',
        APP_LIMIT: '12',
        OTHER_LISTEN: 'no',
      },
    });
    expect(config).toEqual({
      listen: '123',
      deep: { size: 7, fast: true },
      nodes: [{ name: 'n', weight: 1 }],
      tags: ['a', 'b'],
      aliases: {},
      limit: 12,
    });
  });

  it('name the variable, not the file, when their value is wrong', () => {
    expect(problems('', { env: { APP_DEEP__SIZE: 'many' } })).toEqual([
      expect.stringMatching(/^APP_DEEP__SIZE: deep\.size: .*expected number/),
    ]);
  });

  it('are errors when the variable is unknown, with the nearest known one', () => {
    expect(problems('', { env: { APP_DEEP__SZIE: '1' } })).toEqual([
      'APP_DEEP__SZIE: unknown setting; did you mean APP_DEEP__SIZE?',
    ]);
  });

  it('leave alone what is empty, reserved, or set by Kubernetes for a service of the same name', () => {
    const env = {
      APP_LISTEN: '',
      APP_API_KEY: 'secret',
      APP_SERVICE_HOST: '10.0.0.1',
      APP_PORT_31313_TCP_ADDR: '10.0.0.1',
      APP_PORT: 'tcp://10.0.0.1:31313',
    };
    expect(problems('', { env })).toEqual([]);
  });

  it('yield to flags, which are named as they were typed', () => {
    const flag = { name: '--listen', path: ['listen'], value: 'flag' };
    expect(read('', { env: { APP_LISTEN: 'env' }, flags: [flag] }).listen).toBe('flag');
    expect(problems('', { flags: [{ ...flag, value: 3 }] })).toEqual([expect.stringMatching(/^--listen: /)]);
  });
});

describe('loadConfig', () => {
  it('says that there is no such file', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'config-'));
    try {
      const file = path.join(dir, 'none.toml');
      await expect(loadConfig(schema, { file })).rejects.toThrow(`${file}: no such file`);
      await expect(loadConfig(schema, { file: dir })).rejects.toThrow(/cannot be read \(EISDIR\)/);
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

describe('configJsonSchema', () => {
  it('describes the file as it is written: defaults are not required', () => {
    const json = configJsonSchema(schema) as Record<string, unknown>;
    expect(json['required']).toBeUndefined();
    expect(json['additionalProperties']).toBe(false);
  });
});
