/** What is planned is what a loaded model takes: weights, caches, states, steps and images, of every architecture. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLibrary } from '@cortex/ggml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, tinyQwen3Moe } from '../../test/generated-models.ts';
import { writeCheckpoint } from '../../test/write-checkpoint.ts';
import { openDevice } from './device-host.ts';
import type { DeviceHost, DeviceModel, ModelOptions } from './device-model.ts';
import { measureCheckpoint } from './measure-checkpoint.ts';
import { needsFrom, planMemory, totalBytes } from './memory-plan.ts';

const device = openLibrary().devices.find(({ type }) => type === 'cpu');
if (device === undefined) throw new Error('ggml finds no CPU');

const nSlots = 3;
const side = 24;

const optionsOf = (dir: string, rest: Partial<ModelOptions> = {}): ModelOptions => ({
  modelId: 'acme/tiny',
  dir,
  weightType: 'f16',
  kvCacheType: 'f16',
  contextMax: 2048,
  kvTokens: 4096,
  nSlots,
  chunkMax: 512,
  draftMax: 8,
  patchesMax: side ** 2,
  ...rest,
});

const planned = async ({ draftMax = 0, patchesMax = 0, ...options }: ModelOptions): Promise<number> => {
  const measured = await measureCheckpoint(device, { ...options, draftMax, patchesMax });
  const limits = { freeBytes: 2 ** 40, contextMax: 2048, kvTokens: 4096, nSlots, kvShare: 1 };
  return totalBytes(planMemory(needsFrom(measured), limits).plan.parts);
};

/** Everything that the plan has room for at once: full batches, long chunks, the largest image. */
const exert = (model: DeviceModel): void => {
  const sequences = Array.from({ length: nSlots }, () => model.open(1100)).filter((sequence) => sequence !== null);
  expect(sequences).toHaveLength(nSlots);
  for (const sequence of sequences) model.forward(sequence, new Int32Array(512).fill(7), 0, 'last');
  model.decode(sequences.map((sequence) => ({ sequence, id: 5 })));
  for (const sequence of sequences) expect(model.guess(sequence, 5, 8)).toHaveLength(model.canGuess ? 8 : 0);
  if (!model.hasVision) return;
  const patches = new Float32Array(side ** 2 * 768).fill(0.1);
  const image = { grid: { h: side, w: side }, nTokens: side ** 2 / 4, patches, contentHash: 'x' };
  using embeds = model.encodeImage(image);
  expect(embeds.nTokens).toBe(side ** 2 / 4);
};

describe.each([
  { name: 'qwen3', model: tinyQwen3() },
  { name: 'qwen3_moe', model: tinyQwen3Moe() },
  { name: 'qwen3_5', model: tinyQwen35({ vision: true, predictor: true }) },
  { name: 'qwen3_5_moe', model: tinyQwen35Moe({ vision: true, predictor: true }) },
])('the memory of $name', ({ model: generated }) => {
  let dir: string;
  let host: DeviceHost;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'memory-'));
    await writeCheckpoint(dir, generated);
    host = openDevice({ index: device.index, threads: 1 });
  });
  afterAll(async () => {
    host[Symbol.dispose]();
    await rm(dir, { recursive: true });
  });

  it.each(['f16', 'q8_0'] as const)('with weights of %s is planned within 5 of 100', async (weightType) => {
    const options = optionsOf(dir, { weightType });
    const bytes = await planned(options);
    using model = await host.loadModel(options, () => undefined);
    const before = model.bytes;
    exert(model);
    expect(Math.abs(model.bytes / bytes - 1)).toBeLessThan(0.05);
    // Text took all of its memory when it was loaded.
    expect(model.hasVision || model.bytes === before).toBe(true);
  });

  it('is refused before anything is allocated, with the numbers', async () => {
    const options = optionsOf(dir, { kvTokens: 2 ** 33 });
    await expect(host.loadModel(options, () => undefined)).rejects.toMatchObject({
      code: 'insufficient_vram',
      message: expect.stringMatching(/weights \d+, KV cache \d+ for 8589934592 tokens.*MB are free/) as string,
    });
  });
});
