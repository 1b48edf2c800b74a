/** Weights of every type that a load can ask for, and the buffers that they are put in. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLibrary, weightBufferTypes } from '@cortex/ggml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyQwen35Moe } from '../../test/generated-models.ts';
import { writeCheckpoint } from '../../test/write-checkpoint.ts';
import { configuredArch } from './configured-arch.ts';
import { openDevice } from './device-host.ts';
import type { DeviceHost } from './device-model.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { planWeights, type WeightPlan } from './weight-plan.ts';
import { quantTypes, type WeightType } from './weight-types.ts';

let dir: string;
let host: DeviceHost;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'weights-'));
  await writeCheckpoint(dir, tinyQwen35Moe({ vision: true }), { dtype: 'BF16' });
  host = openDevice({ index: 0, threads: 1 });
});
afterAll(async () => {
  host[Symbol.dispose]();
  await rm(dir, { recursive: true, force: true });
});

const ids = Int32Array.from({ length: 32 }, (_, i) => (i * 7919 + 13) % 600);

const logitsAs = async (weightType: WeightType): Promise<{ readonly logits: Float32Array; readonly bytes: number }> => {
  const progress: number[] = [];
  using model = await host.loadModel(
    {
      modelId: 'acme/tiny',
      dir,
      weightType,
      kvCacheType: 'f32',
      contextMax: 64,
      kvTokens: 64,
      nSlots: 1,
      chunkMax: 64,
    },
    ({ fraction }) => progress.push(fraction),
  );
  expect(progress).toEqual(progress.toSorted((a, b) => a - b));
  expect(progress.at(-1)).toBe(1);
  using sequence = model.open(64)!;
  return { logits: model.forward(sequence, ids, 0, 'all'), bytes: model.bytes };
};

const cosine = (a: Float32Array, b: Float32Array): number => {
  let [ab, aa, bb] = [0, 0, 0];
  a.forEach((value, i) => {
    ab += value * (b[i] ?? NaN);
    aa += value * value;
    bb += (b[i] ?? NaN) ** 2;
  });
  return ab / Math.sqrt(aa * bb);
};

describe('weights loaded as another type', () => {
  it('answer as f32 does, the closer the more bits, in less memory', async () => {
    const exact = await logitsAs('f32');
    const found = new Map<WeightType, { readonly error: number; readonly bytes: number }>();
    for (const type of ['f16', 'q8_0', 'q4k', 'q4_0'] as const) {
      const { logits, bytes } = await logitsAs(type);
      found.set(type, { error: 1 - cosine(logits, exact.logits), bytes });
    }
    const errors = ['f16', 'q8_0', 'q4k'].map((type) => found.get(type as WeightType)?.error ?? NaN);
    expect(errors).toEqual(errors.toSorted((a, b) => a - b));
    expect(found.get('q8_0')?.error).toBeLessThan(0.02);
    for (const { error, bytes } of found.values()) {
      // Random weights magnify what trained ones bear.
      expect(error).toBeLessThan(0.5);
      expect(bytes).toBeLessThan(exact.bytes);
    }
  });
});

const planFor = async (wanted: WeightType): Promise<ReadonlyMap<string, WeightPlan>> => {
  using checkpoint = await openCheckpoint(dir);
  const arch = configuredArch(checkpoint);
  const [device] = openLibrary().devices;
  const specs = [...arch.weights, ...(arch.vision?.weights ?? [])];
  return new Map(
    planWeights(checkpoint, specs, { device: device!, wanted, nDevices: 1 }).map((plan) => [plan.spec.name, plan]),
  );
};

describe('the plan of a load', () => {
  it('keeps norms, routers, decay, convolutions and biases in f32, the tower in f16, gates in eight bits', async () => {
    for (const wanted of ['q4_0', 'q8_0'] as const) {
      const plan = await planFor(wanted);
      const typeOf = (name: string): string | undefined => plan.get(name)?.type.name;
      expect(typeOf('blk.0.ssm_alpha.weight')).toBe('q8_0');
      expect(typeOf('v.blk.0.attn_qkv.weight')).toBe('f16');
      expect(typeOf('blk.0.ffn_up_exps.weight')).toBe(quantTypes[wanted].name);
      for (const name of ['blk.0.attn_norm', 'blk.0.ffn_gate_inp', 'blk.0.ssm_conv1d', 'blk.0.ffn_gate_inp_shexp']) {
        expect(typeOf(`${name}.weight`)).toBe('f32');
      }
      expect([typeOf('blk.0.ssm_a'), typeOf('blk.0.ssm_dt.bias'), typeOf('v.blk.0.attn_qkv.bias')]).toEqual(
        Array(3).fill('f32'),
      );
    }
  });

  it('puts what is multiplied into faster buffers, and never what rows are taken from', async () => {
    const faster = new Set(weightBufferTypes(openLibrary().devices[0]!).map(({ name }) => name));
    const inFaster = [...(await planFor('q4_0')).values()]
      .filter(({ place }) => place.kind === 'buffer' && faster.has(place.type.name))
      .map(({ spec }) => spec.name);
    expect(inFaster).toEqual(expect.arrayContaining(['blk.0.attn_qkv.weight', 'blk.0.ffn_up_exps.weight']));
    expect(inFaster).not.toContain('token_embd.weight');
    expect(inFaster.filter((name) => /norm|bias|conv|gate_inp/.test(name))).toEqual([]);
  });
});
