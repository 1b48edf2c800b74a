/** What goes wrong while a model is in layers over devices and the host: nothing of it is left behind. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { holdings } from '@cortex/ggml';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ApartDevice } from '../../ggml/test/apart-devices.ts';
import { openDevice } from '../src/model/device-host.ts';
import type { DeviceHost, DeviceModel } from '../src/model/device-model.ts';
import { tinyQwen35Moe } from './generated-models.ts';
import { idsOf, imageLogits, opened, optionsOf } from './model-exercise.ts';
import { writeCheckpoint } from './write-checkpoint.ts';

const accelerators = [ApartDevice.add(), ApartDevice.add()] as const;
const mb = 2 ** 20;

describe('a model in layers over devices and the host', () => {
  let dir: string;
  let host: DeviceHost;
  let roomBytes: readonly number[];
  /** Of each device. */
  let planned: readonly number[];
  const load = (): Promise<DeviceModel> => host.loadModel(optionsOf(dir, { roomBytes }), () => undefined);

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'layer-faults-'));
    await writeCheckpoint(dir, tinyQwen35Moe({ vision: true, predictor: true, heads: 4, queries: 2 }));
    const [{ index }, other] = accelerators;
    host = openDevice({ index, others: [other.index], sharing: 'layers', threads: 1 });
    roomBytes = [];
    using whole = await load();
    const [computing, all] = [whole.parts.at(-1)?.nBytes ?? 0, whole.parts[0]?.nBytes ?? 0];
    roomBytes = [0.6, 0.35].map((share) => computing + share * (all - computing));
    using model = await load();
    planned = model.parts.map(({ nBytes }) => nBytes);
  });
  afterAll(async () => {
    host[Symbol.dispose]();
    await rm(dir, { recursive: true });
  });
  beforeEach(() => {
    for (const { memoryTaken } of accelerators) memoryTaken.hiddenBytes = 0;
  });

  // Weights come first, then caches, then what steps compute with.
  it.each([
    { what: 'nothing', left: () => 0, says: /^Apart1: the weights need \d+ MB, \d+ MB are free$/ },
    {
      what: 'its weights alone',
      left: (all: number) => 0.75 * all,
      says: /^Apart1: the caches need \d+ MB, \d+ MB are free$/,
    },
    {
      what: 'all but some of its steps',
      left: (all: number) => all - mb,
      says: /Apart0\+Apart1\+CPU: the steps need \d+ MB/,
    },
  ])('gives all back when the second device turns out to have room for $what', async ({ left, says }) => {
    const before = holdings();
    const { memoryTaken } = accelerators[1];
    memoryTaken.hiddenBytes = memoryTaken.bytesMax - left(planned[1] ?? 0);
    await expect(load()).rejects.toMatchObject({
      code: 'insufficient_vram',
      message: expect.stringMatching(says) as string,
    });
    expect(holdings()).toEqual(before);
    expect(accelerators.map((device) => device.memoryTaken.nBytes)).toEqual([0, 0]);
    memoryTaken.hiddenBytes = 0;
    using model = await load();
    expect(imageLogits(model)).toHaveLength(4);
  });

  it('is loaded, asked and unloaded time and again, and leaves nothing', async () => {
    const before = holdings();
    const first: Float32Array[] = [];
    for (let round = 0; round < 20; round++) {
      using model = await load();
      const logits = imageLogits(model);
      if (round === 0) first.push(...logits.map((values) => values.slice()));
      expect(logits).toEqual(first);
    }
    expect(holdings()).toEqual(before);
    expect(accelerators.map(({ memoryTaken }) => memoryTaken.nBytes)).toEqual([0, 0]);
  });

  it('answers the next as ever when a prompt is given up between chunks, or an image within the tower', async () => {
    using model = await load();
    const prompt = idsOf(60, 1);
    const asked = (): Float32Array => {
      using sequence = opened(model);
      model.forward(sequence, prompt.slice(0, 30), 0, 'none');
      return model.forward(sequence, prompt.slice(30), 30, 'last').slice();
    };
    const wanted = asked();
    const held = holdings();
    for (let round = 0; round < 3; round++) {
      using sequence = opened(model);
      model.forward(sequence, idsOf(40, 2 + round), 0, 'none');
      using image = model.beginImage({
        grid: { h: 4, w: 6 },
        nTokens: 6,
        patches: new Float32Array(24 * 768),
        contentHash: 'x',
      });
      expect(image.advance(0)).toBeNull();
    }
    expect(asked()).toEqual(wanted);
    expect(holdings().nHandles).toBe(held.nHandles);
  });
});
