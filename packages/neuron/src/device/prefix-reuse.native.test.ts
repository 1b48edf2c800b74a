import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { holdings } from '@cortex/ggml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fakeGenerateSpec, fakeLoadSpec, greedy } from '../../test/fake-device-host.ts';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, tinyQwen3Moe } from '../../test/generated-models.ts';
import { Bench } from '../../test/run-loop-bench.ts';
import { writeCheckpoint } from '../../test/write-checkpoint.ts';
import { openDevice } from '../model/device-host.ts';
import type { DeviceHost, ImageInput } from '../model/device-model.ts';
import { Random } from '../sampling/random.ts';
import { mropePositions } from '../vision/mrope-positions.ts';
import type { GenerateEvent, GenerateSpec, LoadSpec } from './protocol.ts';

/** Of the generated vocabularies: a control token, and what images are expanded to. */
const control = 621;
const imagePad = 632;
const tolerance = 2e-4;

const turn = (n: number, seed: number): number[] => {
  const random = new Random(seed);
  return [...Array.from({ length: n }, () => Math.floor(random.next() * 600)), control];
};

const image = (seed: number): ImageInput => {
  const random = new Random(seed);
  const patches = Float32Array.from({ length: 6 * 8 * 768 }, () => 2 * random.next() - 1);
  return { grid: { h: 6, w: 8 }, nTokens: 12, patches, contentHash: String(seed) };
};

const pads = Array.from({ length: 12 }, () => imagePad);

const visionOf = (ids: readonly number[], images: readonly ImageInput[]): GenerateSpec['vision'] => {
  const grids = images.map(() => ({ h: 3, w: 4 }));
  return images.length === 0 ? null : { images, positions: mropePositions(Int32Array.from(ids), imagePad, grids) };
};

interface Answered {
  readonly ids: readonly number[];
  readonly logprobs: readonly number[];
  readonly nCached: number;
}

const answerOf = (events: readonly GenerateEvent[]): Answered => {
  const tokens = events.flatMap((event) => (event.kind === 'token' ? [event.token] : []));
  const done = events.at(-1);
  return {
    ids: tokens.map(({ id }) => id),
    logprobs: tokens.map(({ logprob }) => logprob ?? NaN),
    nCached: done?.kind === 'done' ? done.nCachedTokens : -1,
  };
};

const models = [
  { name: 'qwen3', model: tinyQwen3() },
  { name: 'qwen3_moe', model: tinyQwen3Moe() },
  { name: 'qwen3_5', model: tinyQwen35({ vision: true, predictor: true }) },
  { name: 'qwen3_5_moe', model: tinyQwen35Moe({ vision: true }) },
];

describe.each(models)('conversations on $name', ({ model: generated }) => {
  let dir: string;
  let bench: Bench<DeviceHost>;
  let loadSpec: LoadSpec;
  const ask = async (
    modelId: string,
    ids: readonly number[],
    images: readonly ImageInput[] = [],
    tokensMax = 24,
  ): Promise<Answered> => {
    const vision = visionOf(ids, images);
    const spec = { vision, eosIds: [], tokensMax, nTopLogprobs: 0, choices: [{ sampling: greedy }] };
    return answerOf(await bench.eventsOf(bench.generate(fakeGenerateSpec(modelId, ids, spec))));
  };
  /** The same, whether it begins with what is known or not. */
  const expectSame = async (warm: Answered, ids: readonly number[], images?: readonly ImageInput[]): Promise<void> => {
    const cold = await ask('cold', ids, images);
    expect(cold.nCached).toBe(0);
    expect(warm.ids).toEqual(cold.ids);
    const differences = warm.logprobs.map((logprob, i) => Math.abs(logprob - (cold.logprobs[i] ?? NaN)));
    expect(Math.max(...differences)).toBeLessThan(tolerance);
  };

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'prefix-'));
    await writeCheckpoint(dir, generated);
    bench = new Bench(openDevice({ index: 0, threads: 1 }));
    const controls = new Uint8Array(640);
    controls[control] = 1;
    const load = { ...fakeLoadSpec('', {}), dir, contextMax: 1024, kvTokens: 2048, nSlots: 3, chunkMax: 64 };
    const vocabulary = { ...load.vocabulary, control: controls };
    loadSpec = { ...load, vocabulary, bannedIds: [imagePad], weightType: 'f32', kvCacheType: 'f32' };
    await bench.job({ kind: 'load', spec: { ...loadSpec, modelId: 'warm', prefixHostBytesMax: 2 ** 30 } });
    await bench.job({ kind: 'load', spec: { ...loadSpec, modelId: 'cold' } });
    await bench.job({
      kind: 'load',
      spec: { ...loadSpec, modelId: 'ahead', draftMax: 8, prefixHostBytesMax: 2 ** 30 },
    });
  });
  afterAll(async () => {
    await bench.job({ kind: 'shutdown' });
    await rm(dir, { recursive: true });
  });

  it('answer each turn as if nothing had been before', async () => {
    const nNew: number[] = [];
    const ids = [...turn(90, 1), ...turn(40, 2), 7];
    for (const seed of [3, 4, 5]) {
      const answer = await ask('warm', ids);
      await expectSame(answer, ids);
      nNew.push(ids.length - answer.nCached);
      // Half of the answer, as when the thoughts in it are left out.
      ids.push(...answer.ids.slice(12), control, ...turn(30, seed), 7);
    }
    expect(nNew[0]).toBe(133);
    expect(Math.max(...nNew.slice(1))).toBeLessThan(60);
  });

  it('share their system prompt', async () => {
    const system = turn(150, 10);
    const first = await ask('warm', [...system, ...turn(50, 11), 7]);
    expect(first.nCached).toBe(0);
    const ids = [...system, ...turn(50, 12), 7];
    const second = await ask('warm', ids);
    expect(second.nCached).toBe(system.length);
    await expectSame(second, ids);
  });

  it('go on from the host after others have needed the device', async () => {
    const ids = [...turn(80, 20), ...turn(60, 21), 7];
    await ask('warm', ids);
    // All cells at once: whatever was parked has to leave.
    const spec = { tokensMax: 1000, eosIds: [], nTopLogprobs: null };
    const others = [22, 23].map((seed) => bench.generate(fakeGenerateSpec('warm', turn(20, seed), spec)));
    for (const jobId of others) bench.send({ kind: 'stop_choice', jobId, choice: 0 });
    await Promise.all(others.map((jobId) => bench.eventsOf(jobId)));
    const next = [...ids, ...turn(20, 24), 7];
    const answer = await ask('warm', next);
    expect(answer.nCached).toBeGreaterThanOrEqual(140);
    await expectSame(answer, next);
  });

  it('leave no memory behind when their model is unloaded', async () => {
    const before = holdings();
    await bench.job({ kind: 'load', spec: { ...loadSpec, modelId: 'passing', prefixHostBytesMax: 2 ** 30 } });
    const loaded = holdings();
    // More than there are cells for: the first go to the host.
    for (const seed of [61, 62, 63, 64, 65, 66, 67, 68]) await ask('passing', [...turn(300, seed), 7]);
    expect(holdings().nBytes).toBeGreaterThan(loaded.nBytes);
    await bench.job({ kind: 'unload', modelId: 'passing' });
    expect(holdings()).toEqual(before);
  });

  it('give each choice of a request its own answer from one prompt', async () => {
    const ids = [...turn(100, 30), ...turn(60, 31), 7];
    const choices = [{ sampling: greedy }, { sampling: greedy }];
    const spec = { eosIds: [], tokensMax: 12, choices, nTopLogprobs: 0 };
    const events = await bench.eventsOf(bench.generate(fakeGenerateSpec('warm', ids, spec)));
    const of = (choice: number): Answered =>
      answerOf(events.filter((event) => event.kind !== 'token' || event.choice === choice));
    const cold = await ask('cold', ids);
    expect([of(0).ids, of(1).ids]).toEqual([cold.ids.slice(0, 12), cold.ids.slice(0, 12)]);
  });

  it('are the same with tokens guessed ahead, in later turns too', async () => {
    // An answer of one token over and over is guessed right, its beginning is not.
    const ids = [...turn(60, 50), 7];
    for (const seed of [51, 52]) {
      const answer = await ask('ahead', ids, [], 60);
      const plain = await ask('cold', ids, [], 60);
      expect(answer.ids).toEqual(plain.ids);
      ids.push(...answer.ids, control, ...turn(20, seed), 7);
    }
  });

  it.runIf(generated.hasVision)('with images go on from them, but never from those of others', async () => {
    const head = [...turn(30, 40), ...pads, ...turn(20, 41), ...pads];
    const ids = [...head, ...turn(30, 42), 7];
    const first = await ask('warm', ids, [image(1), image(2)]);
    await expectSame(first, ids, [image(1), image(2)]);
    const next = [...ids, ...turn(20, 43), ...pads, ...turn(9, 44), 7];
    const second = await ask('warm', next, [image(1), image(2), image(3)]);
    expect(second.nCached).toBeGreaterThanOrEqual(ids.length - 10);
    await expectSame(second, next, [image(1), image(2), image(3)]);
    const other = await ask('warm', next, [image(1), image(9), image(3)]);
    expect(other.nCached).toBeLessThan(head.length - 11);
    await expectSame(other, next, [image(1), image(9), image(3)]);
    expect(other.logprobs).not.toEqual(second.logprobs);
  });
});
