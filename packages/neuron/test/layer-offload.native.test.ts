/**
 * Models whose layers are on several devices and the host, each device with memory of its own: they answer as a single
 * device does, whatever the tokens are, however they are cut, batched, guessed, taken back and resumed, and whatever type
 * the weights have. Of no device more is taken than was planned.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLibrary } from '@cortex/ggml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApartDevice } from '../../ggml/test/apart-devices.ts';
import { openDevice } from '../src/model/device-host.ts';
import type { DeviceHost, DeviceModel, ModelOptions } from '../src/model/device-model.ts';
import type { WeightType } from '../src/model/weight-types.ts';
import { itTakesDraftsBack } from './draft.conformance.ts';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, tinyQwen3Moe, type GeneratedModel } from './generated-models.ts';
import { briefLogits, guesses, idsOf, imageLogits, largestError, optionsOf, textLogits } from './model-exercise.ts';
import { itGuesses } from './predictor.conformance.ts';
import { itKeepsPrefixes } from './prefix.conformance.ts';
import { writeCheckpoint } from './write-checkpoint.ts';
import { writeGguf, writeMmproj } from './write-gguf.ts';

const cpu = openLibrary().devices.find(({ type }) => type === 'cpu')?.index ?? 0;
const accelerators = [ApartDevice.add(), ApartDevice.add(), ApartDevice.add()];

const sizes = { heads: 4, queries: 2, ff: 512 };
const models = {
  qwen3: tinyQwen3(sizes),
  qwen3_moe: tinyQwen3Moe(sizes),
  qwen3_5: tinyQwen35({ ...sizes, vision: false, predictor: true }),
  qwen3_5_moe: tinyQwen35Moe({ ...sizes, vision: true, predictor: true }),
} as const satisfies Record<string, GeneratedModel>;
type Name = keyof typeof models;
const names = Object.keys(models) as readonly Name[];

/** What each accelerator has room for of what all layers take; the rest is the host's. */
type Layout = readonly number[];
/** Some layers for each. */
const layoutsOf = (name: Name): readonly [Layout, Layout] =>
  // Three layers, or five of different sizes.
  name.startsWith('qwen3_5') ? [[0.6], [0.6, 0.35]] : [[0.6], [0.55, 0.42]];
const cases = names.flatMap((name) => layoutsOf(name).map((layout) => ({ name, n: layout.length, layout })));
const casesOf = (...wanted: readonly Name[]) => cases.filter(({ name }) => wanted.includes(name));

/** The host's kernels multiply by rows in a layout of their own, which may add up in another order. */
const tolerance = 2e-5;
/** Of the distance from F32 that quantised weights have on one device. */
const slack = 1.5;

type Ask = (model: DeviceModel) => readonly Float32Array[];

const spreadOver = (n: number): DeviceHost => {
  const [first, ...others] = accelerators.slice(0, n).map(({ index }) => index);
  return openDevice({ index: first ?? 0, others, sharing: 'layers', threads: 1 });
};

const load = (host: DeviceHost, dir: string, more: Partial<ModelOptions> = {}): Promise<DeviceModel> =>
  host.loadModel(optionsOf(dir, { kvCacheType: 'f32', ...more }), () => undefined);

const alone = async (dir: string, ask: Ask, more?: Partial<ModelOptions>) => {
  using host = openDevice({ index: cpu, threads: 1 });
  using model = await load(host, dir, more);
  return ask(model);
};

const roomsFor = async (host: DeviceHost, dir: string, layout: Layout, more?: Partial<ModelOptions>) => {
  using whole = await load(host, dir, more);
  const [computing, all] = [whole.parts.at(-1)?.nBytes ?? 0, whole.parts[0]?.nBytes ?? 0];
  return layout.map((share) => computing + share * (all - computing));
};

/** No more, and little less. */
const expectPlanned = ({ parts, hasVision }: DeviceModel, roomBytes: readonly number[]): void =>
  roomBytes.forEach((room, i) => {
    const planned = parts.find(({ member }) => member === i)?.nBytes ?? 0;
    const taken = accelerators[i]?.memoryTaken.mostBytes ?? 0;
    expect(planned).toBeLessThanOrEqual(room);
    expect(taken).toBeLessThanOrEqual(planned);
    // Room for an image is kept free until there is one.
    if (!hasVision) expect(taken).toBeGreaterThan(0.95 * planned);
  });

/** Loaded so that each device has a layer at least. */
const spread = async (host: DeviceHost, dir: string, layout: Layout, more?: Partial<ModelOptions>) => {
  const roomBytes = await roomsFor(host, dir, layout, more);
  for (const { memoryTaken } of accelerators) memoryTaken.forget();
  const model = await load(host, dir, { roomBytes, ...more });
  const nLayers = model.parts.map((part) => part.nLayers);
  if (nLayers.every((n) => n > 0)) return { model, roomBytes };
  model[Symbol.dispose]();
  throw new Error(`devices without layers: ${nLayers.join(', ')}`);
};

const answers = async (layout: Layout, dir: string, ask: Ask, more?: Partial<ModelOptions>) => {
  using host = spreadOver(layout.length);
  const { model, roomBytes } = await spread(host, dir, layout, more);
  using loaded = model;
  const got = ask(loaded);
  expectPlanned(loaded, roomBytes);
  return got;
};

describe('a model in layers over devices and the host', () => {
  let root: string;
  const folders = new Map<GeneratedModel, string>();
  const folderOf = async (model: GeneratedModel): Promise<string> => {
    const dir = folders.get(model) ?? join(root, String(folders.size));
    if (!folders.has(model)) await writeCheckpoint(dir, model);
    folders.set(model, dir);
    return dir;
  };

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'layers-'));
  });
  afterAll(() => rm(root, { recursive: true }));

  it.each(cases)(
    'answers as on one, and takes what was planned: $name over $n and the host',
    async ({ name, layout }) => {
      const dir = await folderOf(models[name]);
      const wanted = await alone(dir, textLogits);
      expect(largestError(await answers(layout, dir, textLogits), wanted)).toBeLessThan(tolerance);
      expect(accelerators.map(({ memoryTaken }) => memoryTaken.nBytes)).toEqual([0, 0, 0]);
    },
  );

  const types: readonly [WeightType, ModelOptions['kvCacheType']][] = [
    ['q8_0', 'q8_0'],
    ['q4k', 'f32'],
    ['iq4_nl', 'f16'],
    ['auto', 'auto'],
  ];
  it.each(names.flatMap((name) => types.map(([type, kv]) => ({ name, type, kv }))))(
    'is as near to F32 as on one: $name in $type with a cache of $kv',
    async ({ name, type, kv }) => {
      const dir = await folderOf(models[name]);
      const exact = await alone(dir, briefLogits);
      const how = { weightType: type, kvCacheType: kv } as const;
      // What is left to the devices is rounded as a GPU would: its cache has 16 bits.
      const near = await alone(dir, briefLogits, kv === 'auto' ? { ...how, kvCacheType: 'f16' } : how);
      const error = largestError(near, exact);
      expect(error).toBeGreaterThan(1e-5);
      for (const layout of layoutsOf(name)) {
        expect(largestError(await answers(layout, dir, briefLogits, how), exact)).toBeLessThan(slack * error);
      }
    },
  );

  it.each([
    { name: 'qwen3', type: 'q8_0' },
    { name: 'qwen3_moe', type: 'q4_K' },
    { name: 'qwen3_5', type: 'f16' },
    { name: 'qwen3_5_moe', type: 'q4_K' },
  ] as const)(
    'answers as on one from a GGUF file, the host out of its pages: $name in $type',
    async ({ name, type }) => {
      const dir = await folderOf(models[name]);
      const [file = ''] = writeGguf(dir, join(await mkdtemp(join(root, 'gguf-')), 'model.gguf'), { type });
      const how = { weightType: 'auto' } as const;
      const wanted = await alone(file, textLogits, how);
      const exact = await alone(dir, textLogits);
      // As far as the two are from F32: other kernels multiply by these weights on the host.
      const room = Math.max(tolerance, largestError(wanted, exact));
      for (const layout of layoutsOf(name)) {
        expect(largestError(await answers(layout, file, textLogits, how), wanted)).toBeLessThan(room);
      }
    },
  );

  it.each(casesOf('qwen3_5_moe'))(
    'sees as on one, the tower on the first of $n devices, from either kind of file',
    async ({ layout }) => {
      const dir = await folderOf(models.qwen3_5_moe);
      const wanted = await alone(dir, imageLogits);
      expect(largestError(await answers(layout, dir, imageLogits), wanted)).toBeLessThan(tolerance);
      const files = await mkdtemp(join(root, 'gguf-'));
      const [file = ''] = writeGguf(dir, join(files, 'model.gguf'));
      writeMmproj(dir, join(files, 'mmproj-F32.gguf'));
      const other = await alone(file, imageLogits);
      expect(largestError(await answers(layout, file, imageLogits), other)).toBeLessThan(tolerance);
    },
  );

  it.each(casesOf('qwen3_5', 'qwen3_5_moe'))(
    "guesses as on one, by the predictor's own head: $name over $n and the host",
    async ({ name, layout }) => {
      const dir = await folderOf(models[name]);
      const wanted = await alone(dir, guesses);
      expect(new Set(wanted.flatMap((guess) => [...guess])).size).toBeGreaterThan(4);
      expect(await answers(layout, dir, guesses)).toEqual(wanted);
    },
  );

  it.each(names)('fits where there is just the room for it, and is refused with a byte less: %s', async (name) => {
    const dir = await folderOf(models[name]);
    using host = spreadOver(2);
    const partsWith = async (roomBytes: readonly number[]) => {
      using model = await load(host, dir, { roomBytes });
      return model.parts;
    };
    const parts = await partsWith(await roomsFor(host, dir, layoutsOf(name)[1]));
    const exact = parts.map(({ nBytes }) => nBytes);
    expect(await partsWith(exact)).toEqual(parts);
    const [first = 0, second = 0, own = 0] = exact;
    const refusal = await load(host, dir, { roomBytes: [first, second, own - 1] }).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'insufficient_vram' });
    const numbers = String(refusal).matchAll(/(\d+)(?= MB are needed| of its| and has| free)/g);
    const [needed = 0, one = 0, , two = 0, , left = 0, free = 0] = Array.from(numbers, ([n]) => Number(n));
    // Each is rounded.
    expect(Math.abs(one + two + left - needed)).toBeLessThanOrEqual(3);
    expect(free).toBe(Math.floor((own - 1) / 2 ** 20));
    expect(left).toBeGreaterThan(free);
    // What the first has no room for goes on to the next.
    const [before, after] = [parts, await partsWith([first - 1])].map(([part]) => part?.nBytes ?? 0);
    expect(after).toBeLessThan(before ?? 0);
  });

  describe.each([
    { name: 'qwen3_moe', why: 'without recurrence' },
    { name: 'qwen3_5', why: 'with recurrent states' },
  ] as const)('$why', ({ name }) => {
    let host: DeviceHost;
    let model: DeviceModel;
    beforeAll(async () => {
      host = spreadOver(2);
      ({ model } = await spread(host, await folderOf(models[name]), layoutsOf(name)[1], { nSlots: 5 }));
    });
    afterAll(() => {
      model[Symbol.dispose]();
      host[Symbol.dispose]();
    });

    const ids = idsOf(70, 1);
    const forward = (sequence: Parameters<DeviceModel['forward']>[0], from: number, to: number): Float32Array =>
      model.forward(sequence, ids.slice(from, to), from, 'last');
    const start = (sequence: Parameters<DeviceModel['forward']>[0]): void => void forward(sequence, 0, 20);
    itKeepsPrefixes(
      () => model,
      () => ({ ids, forward }),
      2e-4,
    );
    itTakesDraftsBack(
      () => model,
      () => ids.slice(20, 60),
      start,
      2e-4,
    );
    if (name === 'qwen3_moe') return;
    itGuesses(
      () => model,
      () => ids.slice(20, 60),
      start,
    );
  });
});
