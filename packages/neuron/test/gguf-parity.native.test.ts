/**
 * The same weights as safetensors and as GGUF files give the same logits: what the writer folds, tiles, splits and
 * counts differently, the loader must undo or know.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDevice } from '../src/model/device-host.ts';
import type { DeviceHost, DeviceModel, ModelOptions } from '../src/model/device-model.ts';
import { Random } from '../src/sampling/random.ts';
import { mropePositions } from '../src/vision/mrope-positions.ts';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, tinyQwen3Moe, type GeneratedModel } from './generated-models.ts';
import { writeCheckpoint } from './write-checkpoint.ts';
import { writeGguf, writeMmproj, type WriteGgufOptions } from './write-gguf.ts';

let root: string;
let host: DeviceHost;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gguf-parity-'));
  host = openDevice({ index: 0, threads: 1 });
});
afterAll(async () => {
  host[Symbol.dispose]();
  await rm(root, { recursive: true, force: true });
});

const load = (dir: string, weightType: ModelOptions['weightType']): Promise<DeviceModel> =>
  host.loadModel(
    {
      modelId: 'acme/tiny',
      dir,
      weightType,
      kvCacheType: 'f32',
      contextMax: 256,
      kvTokens: 512,
      nSlots: 1,
      chunkMax: 256,
      draftMax: 4,
    },
    () => {},
  );

const ids = Int32Array.from({ length: 48 }, (_, i) => (i * 7919 + 13) % 600);

const textLogits = (model: DeviceModel): Float32Array => {
  using sequence = model.open(128)!;
  return model.forward(sequence, ids, 0, 'all');
};

/** What its predictor foretells; nothing without one. */
const guesses = (model: DeviceModel): readonly number[] => {
  using sequence = model.open(128)!;
  model.forward(sequence, ids, 0, 'none');
  return [...model.guess(sequence, 7, 4)];
};

/** Behind an image of 6 × 4 patches, where the model has a tower. */
const imageLogits = (model: DeviceModel): Float32Array | null => {
  const pad = model.imageTokenId;
  if (pad === null) return null;
  const random = new Random(5);
  const grid = { h: 6, w: 4 };
  const patches = Float32Array.from({ length: 24 * 768 }, () => 2 * random.next() - 1);
  using embeds = model.encodeImage({ grid, nTokens: 6, patches, contentHash: '5' });
  const all = Int32Array.of(...ids.subarray(0, 5), ...Array<number>(6).fill(pad), ...ids.subarray(5, 20));
  const prompt = { ids: all, positions: mropePositions(all, pad, [{ h: 3, w: 2 }]), embeds: [embeds] };
  using sequence = model.open(128)!;
  return model.forwardWithVision(sequence, all, 0, prompt, pad, 'all');
};

const distance = (a: Float32Array | null, b: Float32Array | null): number => {
  if (a === null || b === null) return a === b ? 0 : Infinity;
  expect(a).toHaveLength(b.length);
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] ?? Infinity))), 0);
};

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * (b[i] ?? NaN), 0);

const cosine = (a: Float32Array, b: Float32Array): number => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));

interface Case {
  readonly name: string;
  readonly model: GeneratedModel;
  readonly options?: WriteGgufOptions;
  readonly attention?: 'fused' | 'split';
}

const yarn = {
  rope_type: 'yarn',
  rope_theta: 1_000_000,
  factor: 4,
  original_max_position_embeddings: 16,
};

const withRope = (model: GeneratedModel, rope_parameters: unknown): GeneratedModel => ({
  ...model,
  config: { ...model.config, rope_parameters },
});

const cases: readonly Case[] = [
  { name: 'qwen3', model: tinyQwen3() },
  { name: 'qwen3, attention fused', model: tinyQwen3(), options: { fusedAttention: true } },
  { name: 'qwen3, its context stretched', model: withRope(tinyQwen3(), yarn) },
  {
    name: 'qwen3, its context stretched by numbers of its own',
    model: withRope(tinyQwen3(), { ...yarn, attention_factor: 1.25, beta_fast: 8, beta_slow: 2 }),
  },
  { name: 'qwen3_moe in three files', model: tinyQwen3Moe(), options: { nSplits: 3 } },
  { name: 'qwen3_5 and its tower', model: tinyQwen35({ vision: true }) },
  { name: 'qwen3_5 and its tower, attention split', model: tinyQwen35({ vision: true }), attention: 'split' },
  { name: 'qwen3_5 with a predictor', model: tinyQwen35({ vision: false, predictor: true }) },
  {
    name: 'qwen3_5 with a predictor, attention fused',
    model: tinyQwen35({ vision: false, predictor: true }),
    options: { fusedAttention: true },
  },
  { name: 'qwen3_5_moe and its tower', model: tinyQwen35Moe({ vision: true }) },
  {
    name: 'qwen3_5_moe with a predictor, gates and ups fused',
    model: tinyQwen35Moe({ vision: false, experts: 'separate', predictor: true }),
    options: { fusedExperts: true, nSplits: 2 },
  },
];

describe('the same weights as safetensors and as GGUF', () => {
  it.each(cases)('give the same logits: $name', async ({ name, model: generated, options, attention }) => {
    const dir = join(root, name);
    await writeCheckpoint(join(dir, 'hf'), generated);
    using theirs = await load(join(dir, 'hf'), 'auto');
    const [file = ''] = writeGguf(join(dir, 'hf'), join(dir, 'model.gguf'), options);
    if (generated.hasVision) {
      writeMmproj(join(dir, 'hf'), join(dir, 'mmproj-F32.gguf'), attention === undefined ? {} : { attention });
    }
    using ours = await load(file, 'auto');
    expect(ours.hasVision).toBe(generated.hasVision);
    expect(distance(textLogits(ours), textLogits(theirs))).toBe(0);
    expect(guesses(ours)).toEqual(guesses(theirs));
    expect(guesses(ours)).toHaveLength(name.includes('predictor') ? 4 : 0);
    // The two frames of a patch are added before they are rounded here, and after there.
    expect(distance(imageLogits(ours), imageLogits(theirs))).toBeLessThan(1e-4);
  });

  it.each([0, 4, 5, 9].map((i) => cases[i]!))(
    'give the same logits in 8 bits, quantised here or by the writer: $name',
    async ({ name, model: generated }) => {
      const dir = join(root, `${name} q8_0`);
      await writeCheckpoint(join(dir, 'hf'), generated);
      using theirs = await load(join(dir, 'hf'), 'q8_0');
      const [unquantised = ''] = writeGguf(join(dir, 'hf'), join(dir, 'f32.gguf'));
      const [quantised = ''] = writeGguf(join(dir, 'hf'), join(dir, 'q8_0.gguf'), { type: 'q8_0' });
      if (generated.hasVision) writeMmproj(join(dir, 'hf'), join(dir, 'mmproj-F16.gguf'), { type: 'f16' });
      using here = await load(unquantised, 'q8_0');
      expect(distance(textLogits(here), textLogits(theirs))).toBe(0);
      using before = await load(quantised, 'auto');
      // Ties are rounded otherwise, and the kernels round what they multiply with.
      expect(cosine(textLogits(before), textLogits(theirs))).toBeGreaterThan(0.999);
      expect(distance(imageLogits(here), imageLogits(before))).toBeLessThan(Infinity);
    },
  );

  it('do not see through the tower of another kind of model, though it fits', async () => {
    const dir = join(root, 'foreign tower');
    await writeCheckpoint(join(dir, 'hf'), tinyQwen35({ vision: true }));
    const [file = ''] = writeGguf(join(dir, 'hf'), join(dir, 'model.gguf'));
    writeMmproj(join(dir, 'hf'), join(dir, 'mmproj-F32.gguf'), { projector: 'qwen2vl_merger' });
    await expect(load(file, 'auto')).rejects.toMatchObject({
      code: 'model_load_failed',
      message: expect.stringMatching(/mmproj-F32\.gguf: clip\.projector_type is "qwen2vl_merger"/) as string,
    });
  });

  it.each(['blk.1.attn_q.bias', 'blk.0.ffn_down_exps.scale', 'output.scale'])(
    'are not computed without what the file has beside a matrix: %s',
    async (extra) => {
      const dir = join(root, extra);
      await writeCheckpoint(join(dir, 'hf'), tinyQwen3Moe());
      const write = (...extraTensors: readonly string[]): string =>
        writeGguf(join(dir, 'hf'), join(dir, 'model.gguf'), { extraTensors })[0] ?? '';
      const wanted = { code: 'model_load_failed', message: `tensor ${extra} has no place in this architecture` };
      await expect(load(write(extra), 'auto')).rejects.toMatchObject(wanted);
      // What belongs to nothing here changes nothing.
      using model = await load(write('rope_freqs_of_others.weight', 'blk.0.notes'), 'auto');
      expect(model.nLogits).toBeGreaterThan(0);
    },
  );

  it('are not quantised a second time', async () => {
    const dir = join(root, 'twice');
    await writeCheckpoint(join(dir, 'hf'), tinyQwen3());
    const [file = ''] = writeGguf(join(dir, 'hf'), join(dir, 'model.gguf'), { type: 'q8_0' });
    await expect(load(file, 'q4_0')).rejects.toMatchObject({
      code: 'unsupported_parameter',
      message: 'the weights are quantised already (q8_0): load them without quant, not as q4_0',
    });
    using exact = await load(file, 'f32');
    using theirs = await load(join(dir, 'hf'), 'f32');
    expect(cosine(textLogits(exact), textLogits(theirs))).toBeGreaterThan(0.999);
  });
});
