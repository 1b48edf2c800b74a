import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SafetensorsCheckpoint, expectShape } from '../src/model/safetensors-checkpoint.ts';
import {
  qwen3Shaped06b,
  tinyQwen3,
  tinyQwen35,
  tinyQwen35Moe,
  tinyQwen3Moe,
  type GeneratedModel,
} from './generated-models.ts';
import { encodeValues, writeCheckpoint, type WriteCheckpointOptions } from './write-checkpoint.ts';

const fixture = fileURLToPath(new URL('../../../fixtures/models/qwen3_5-vl-tiny', import.meta.url));

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'generated-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

let nFolders = 0;
const written = async (model: GeneratedModel, options?: WriteCheckpointOptions): Promise<string> => {
  const dir = join(root, String((nFolders += 1)));
  await writeCheckpoint(dir, model, options);
  return dir;
};

const bytesOf = (checkpoint: SafetensorsCheckpoint, name: string): Uint8Array => {
  const tensor = checkpoint.tensor(name);
  const bytes = new Uint8Array(tensor.nBytes);
  checkpoint.read(tensor, 0, bytes);
  return bytes;
};

const statisticsOf = (
  checkpoint: SafetensorsCheckpoint,
  name: string,
): { readonly mean: number; readonly std: number } => {
  const values = new Float32Array(bytesOf(checkpoint, name).buffer);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, std: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length) };
};

/** Names with their numbers taken out, each once. */
const patterns = (names: readonly string[]): readonly string[] =>
  [...new Set(names.map((name) => name.replace(/\.\d+\./g, '.N.')))].toSorted();

const wordsOf = (values: readonly number[], dtype: 'F16' | 'BF16'): readonly number[] => [
  ...new Uint16Array(encodeValues(Float32Array.from(values), dtype).buffer),
];

const tinyModels: readonly (readonly [string, GeneratedModel, string, readonly number[]])[] = [
  ['Qwen3', tinyQwen3(), 'model.layers.2.self_attn.q_proj.weight', [384, 160]],
  ['Qwen3 MoE', tinyQwen3Moe(), 'model.layers.2.mlp.experts.5.down_proj.weight', [160, 96]],
  ['Qwen3.5', tinyQwen35({ vision: false }), 'model.layers.4.self_attn.q_proj.weight', [768, 192]],
  [
    'Qwen3.5 with vision',
    tinyQwen35({ vision: true }),
    'model.language_model.layers.3.linear_attn.conv1d.weight',
    [640, 1, 4],
  ],
  ['Qwen3.5 MoE', tinyQwen35Moe({ vision: false }), 'model.layers.0.mlp.experts.gate_up_proj', [7, 192, 192]],
  [
    'Qwen3.5 MoE with vision and separate experts',
    tinyQwen35Moe({ vision: true, experts: 'separate' }),
    'model.language_model.layers.4.mlp.experts.6.up_proj.weight',
    [96, 192],
  ],
];

describe('writeCheckpoint', () => {
  it.each(tinyModels)('writes %s so that it opens with its tensors', async (_, model, name, shape) => {
    using checkpoint = await SafetensorsCheckpoint.open(await written(model, { nShards: 3 }));
    expect(checkpoint.names).toEqual(model.tensors.map((tensor) => tensor.name));
    for (const { name: each, shape: wanted } of model.tensors) expectShape(checkpoint.tensor(each), wanted);
    expect(checkpoint.tensor(name).shape).toEqual(shape);
    expect(checkpoint.config).toEqual({ ...model.config, dtype: 'float32' });
  });

  it('names tensors as the reference checkpoint does', async () => {
    using reference = await SafetensorsCheckpoint.open(fixture);
    const generated = tinyQwen35({ vision: true }).tensors.map((tensor) => tensor.name);
    expect(patterns(generated)).toEqual(patterns(reference.names));
  });

  it('gives the same bytes for the same seed, however they are sharded', async () => {
    const name = 'model.layers.1.mlp.up_proj.weight';
    using whole = await SafetensorsCheckpoint.open(await written(tinyQwen3(), { seed: 7 }));
    using sharded = await SafetensorsCheckpoint.open(await written(tinyQwen3(), { seed: 7, nShards: 4 }));
    using other = await SafetensorsCheckpoint.open(await written(tinyQwen3(), { seed: 8 }));
    expect(bytesOf(sharded, name)).toEqual(bytesOf(whole, name));
    expect(bytesOf(other, name)).not.toEqual(bytesOf(whole, name));
    expect(bytesOf(whole, 'model.layers.2.mlp.up_proj.weight')).not.toEqual(bytesOf(whole, name));
  });

  it('draws weights around zero and norms around what each model adds to them', async () => {
    using plain = await SafetensorsCheckpoint.open(await written(tinyQwen3()));
    using offset = await SafetensorsCheckpoint.open(await written(tinyQwen35({ vision: false })));
    const embed = statisticsOf(plain, 'model.embed_tokens.weight');
    expect(embed.mean).toBeCloseTo(0, 2);
    expect(embed.std).toBeCloseTo(0.05, 2);
    expect(statisticsOf(plain, 'model.norm.weight').mean).toBeCloseTo(1, 1);
    expect(statisticsOf(offset, 'model.norm.weight').mean).toBeCloseTo(0, 1);
  });

  it('keeps in F32 what the recurrence wants in F32', async () => {
    using checkpoint = await SafetensorsCheckpoint.open(
      await written(tinyQwen35({ vision: false }), { dtype: 'BF16' }),
    );
    expect(checkpoint.tensor('model.layers.0.linear_attn.A_log').type.name).toBe('f32');
    expect(checkpoint.tensor('model.layers.0.linear_attn.in_proj_a.weight').type.name).toBe('bf16');
    expect(checkpoint.config).toMatchObject({ dtype: 'bfloat16' });
  });

  it('brings what a prompt needs', async () => {
    const text = await written(tinyQwen3());
    const vision = await written(tinyQwen35({ vision: true }));
    for (const file of ['tokenizer.json', 'chat_template.jinja'])
      expect(await readFile(join(text, file))).toEqual(await readFile(join(fixture, file)));
    await expect(readFile(join(text, 'preprocessor_config.json'))).rejects.toThrow('ENOENT');
    expect(await readFile(join(vision, 'preprocessor_config.json'), 'utf8')).toContain('merge_size');
  });

  it('repeats the draws of a large matrix, but none of its rows', async () => {
    const shape = [600, 1000] as const;
    const fill = { kind: 'normal', mean: 0, std: 1 } as const;
    const dir = await written({ config: {}, tensors: [{ name: 'large', shape, fill }], hasVision: false });
    using checkpoint = await SafetensorsCheckpoint.open(dir);
    const values = new Float32Array(bytesOf(checkpoint, 'large').buffer);
    expect(values[262_147]).toBe(values[0]);
    expect(values.at(-1)).toBe(values[600_000 - 1 - 2 * 262_147]);
    expect(new Set(Array.from({ length: 600 }, (_, row) => values[row * 1000])).size).toBeGreaterThan(590);
  });
});

describe('qwen3Shaped06b', () => {
  it('has the sizes of Qwen3-0.6B', () => {
    const { tensors } = qwen3Shaped06b();
    const nWeights = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
    expect(nWeights).toBe(596_049_920);
    expect(tensors).toHaveLength(2 + 28 * 11);
  });
});

describe('encodeValues', () => {
  it('rounds to BF16, ties to even', () => {
    expect(wordsOf([1, -2, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 0, -0], 'BF16')).toEqual([
      0x3f80, 0xc000, 0x3f80, 0x3f82, 0x3f81, 0, 0x8000,
    ]);
  });

  it('rounds to F16, ties to even, through subnormals', () => {
    expect(wordsOf([1, -2, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 65504, 2 - 2 ** -12, 0.1], 'F16')).toEqual([
      0x3c00, 0xc000, 0x3c00, 0x3c02, 0x7bff, 0x4000, 0x2e66,
    ]);
    expect(wordsOf([2 ** -14, 2 ** -15, 2 ** -24, 2 ** -25, 3 * 2 ** -25, 0, -0], 'F16')).toEqual([
      0x0400, 0x0200, 0x0001, 0, 0x0002, 0, 0x8000,
    ]);
  });
});
