/**
 * Models that devices share, on ggml's CPU backend taken several times: they answer as a single device does, however
 * the tokens are cut, batched and resumed, whole heads and blocks are dealt out, and whatever type the weights have.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLibrary } from '@cortex/ggml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDevice } from '../src/model/device-host.ts';
import type { DeviceHost, DeviceModel, ModelOptions } from '../src/model/device-model.ts';
import type { WeightType } from '../src/model/weight-types.ts';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, tinyQwen3Moe, type GeneratedModel } from './generated-models.ts';
import { briefLogits, guesses, imageLogits, largestError, optionsOf, textLogits } from './model-exercise.ts';
import { writeCheckpoint } from './write-checkpoint.ts';

const cpu = openLibrary().devices.find(({ type }) => type === 'cpu')?.index ?? 0;

const sizes = { heads: 4, queries: 2, ff: 512 };
const hybridMoe = tinyQwen35Moe({ ...sizes, vision: true });
const models = {
  qwen3: tinyQwen3(sizes),
  qwen3_moe: tinyQwen3Moe(sizes),
  qwen3_5: tinyQwen35({ ...sizes, vision: false }),
  qwen3_5_moe: hybridMoe,
} as const satisfies Record<string, GeneratedModel>;
type Name = keyof typeof models;
const names = Object.keys(models) as readonly Name[];

/** Sums are added up in another order. */
const tolerance = 2e-5;
/** Of the distance from F32 that quantised weights have on one device, where they may be multiplied by other kernels. */
const slack = 1.5;

const groupOf = (n: number): DeviceHost =>
  openDevice({ index: cpu, others: Array.from({ length: n - 1 }, () => cpu), threads: 1 });

describe('a model that devices share', () => {
  let root: string;
  const written = new Map<GeneratedModel, string>();
  const load = async (
    host: DeviceHost,
    model: GeneratedModel,
    more: Partial<ModelOptions> = {},
  ): Promise<DeviceModel> => {
    const dir = written.get(model) ?? join(root, String(written.size));
    if (!written.has(model)) await writeCheckpoint(dir, model);
    written.set(model, dir);
    return host.loadModel(optionsOf(dir, { kvCacheType: 'f32', ...more }), () => undefined);
  };

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'shared-'));
  });
  afterAll(() => rm(root, { recursive: true }));

  type Ask = (model: DeviceModel) => readonly Float32Array[];
  const answers = async (n: number, model: GeneratedModel, ask: Ask, more?: Partial<ModelOptions>) => {
    using host = groupOf(n);
    using loaded = await load(host, model, more);
    return ask(loaded);
  };
  it.each(names.flatMap((name) => [2, 3, 4].map((n) => ({ name, n }))))(
    'answers as on one: $name over $n, however the tokens are cut, batched, taken back and resumed',
    async ({ name, n }) => {
      const model = models[name];
      const wanted = await answers(1, model, textLogits);
      expect(largestError(await answers(n, model, textLogits), wanted)).toBeLessThan(tolerance);
    },
  );

  const types: readonly [WeightType, ModelOptions['kvCacheType']][] = [
    ['q8_0', 'q8_0'],
    ['q4k', 'f32'],
    ['iq4_nl', 'f16'],
  ];
  it.each(names.flatMap((name) => types.map(([type, kv]) => ({ name, type, kv }))))(
    'is as near to F32 as on one: $name in $type with a cache of $kv',
    async ({ name, type, kv }) => {
      const model = models[name];
      const exact = await answers(1, model, briefLogits);
      const how = { weightType: type, kvCacheType: kv } as const;
      const alone = largestError(await answers(1, model, briefLogits, how), exact);
      expect(alone).toBeGreaterThan(1e-4);
      for (const n of [2, 3, 4]) {
        expect(largestError(await answers(n, model, briefLogits, how), exact)).toBeLessThan(slack * alone);
      }
    },
  );

  it.each([
    { name: 'qwen3_5', n: 3, model: tinyQwen35({ ...sizes, vision: false, predictor: true }) },
    { name: 'qwen3_5_moe', n: 2, model: tinyQwen35Moe({ ...sizes, vision: true, predictor: true }) },
  ])("guesses as on one, by the predictor's own head: $name over $n", async ({ model, n }) => {
    const wanted = await answers(1, model, guesses);
    expect(new Set(wanted.flatMap((guess) => [...guess])).size).toBeGreaterThan(4);
    expect(await answers(n, model, guesses)).toEqual(wanted);
  });

  it('has finer types where whole blocks are too few for all, and says so', async () => {
    using host = groupOf(3);
    // 512 columns are two blocks of 256.
    using loaded = await load(host, models.qwen3, { weightType: 'q4k' });
    expect(loaded.finer).toEqual([{ insteadOf: 'q4_K', type: 'q5_0', count: expect.any(Number) as number }]);
  });

  it('sees as on one: the tower is on the first', async () => {
    const wanted = await answers(1, hybridMoe, imageLogits);
    expect(largestError(await answers(2, hybridMoe, imageLogits), wanted)).toBeLessThan(tolerance);
  });

  it('is refused with the reason where it cannot be shared, and with the numbers where a device has no room', async () => {
    using four = groupOf(4);
    await expect(load(four, tinyQwen3())).rejects.toMatchObject({
      code: 'unsupported_parameter',
      message: 'tensor_parallel 4 is not possible: there are only 2 key/value heads; over 2 devices it is',
    });
    using two = groupOf(2);
    await expect(load(two, hybridMoe, { kvTokens: 2 ** 30 })).rejects.toMatchObject({
      code: 'insufficient_vram',
      message: expect.stringMatching(/^CPU: \d+ MB are needed \(weights \d+, KV cache \d+ .* MB are free$/) as string,
    });
  });

  it('takes what is planned, and gives it back', async () => {
    using group = groupOf(2);
    const before = group.memory().held;
    const model = await load(group, hybridMoe);
    using alone = groupOf(1);
    const one = await load(alone, hybridMoe);
    // Steps take as much on each as on one; weights and caches are shared but for norms, embedding and tower.
    expect(model.bytes).toBeGreaterThan(one.bytes);
    expect(model.bytes).toBeLessThan(1.5 * one.bytes);
    model[Symbol.dispose]();
    one[Symbol.dispose]();
    expect(group.memory().held).toEqual(before);
  });
});
