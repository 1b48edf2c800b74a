/**
 * The GPU path without a GPU: every architecture gives on a Vulkan device the logits that it gives on the CPU.
 * A software driver spends seconds on every kernel that it compiles, so few are asked for: a batch of a few columns
 * takes the kernels of decoding, and one prompt of each kind of feed-forward those of prefill.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDevice } from '../src/model/device-host.ts';
import type { DeviceModel, ImageInput, ModelOptions } from '../src/model/device-model.ts';
import { Random } from '../src/sampling/random.ts';
import { mropePositions } from '../src/vision/mrope-positions.ts';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, tinyQwen3Moe, type GeneratedModel } from './generated-models.ts';
import { idsOf, opened, relativeError } from './model-exercise.ts';
import { openVulkan } from './vulkan-devices.ts';
import { writeCheckpoint } from './write-checkpoint.ts';

const { vulkanIndices, cpuIndex, missing } = openVulkan();

/** Two chunks of a prompt, and two sequences decoded together. */
const decoding = (model: DeviceModel): readonly Float32Array[] => {
  const prompt = idsOf(5, 1);
  using a = opened(model);
  using b = opened(model);
  const first = model.forward(a, prompt.slice(0, 3), 0, 'all').slice();
  const second = model.forward(a, prompt.slice(3), 3, 'all').slice();
  model.forward(b, prompt.slice(0, 2), 0, 'none');
  const rows = [
    { sequence: b, id: 5 },
    { sequence: a, id: 9 },
  ];
  return [first, second, model.decode(rows).slice()];
};

/** One that goes on from a state that was saved. */
const resuming = (model: DeviceModel): readonly Float32Array[] => {
  using a = opened(model);
  const first = model.forward(a, idsOf(3, 1), 0, 'all').slice();
  using b = opened(model);
  using state = model.kept.saveState(a);
  model.kept.resume(b, { nTokens: 3, cells: a, state });
  return [first, model.decode([{ sequence: b, id: 11 }]).slice()];
};

const prefill = (model: DeviceModel): readonly Float32Array[] => {
  using sequence = opened(model);
  return [model.forward(sequence, idsOf(33, 2), 0, 'all')];
};

/** A prompt with an image of two tokens in it. */
const seeing = (model: DeviceModel): readonly Float32Array[] => {
  const pad = model.imageTokenId ?? -1;
  const random = new Random(3);
  const [h, w] = [2, 4];
  const patches = Float32Array.from({ length: h * w * 768 }, () => 2 * random.next() - 1);
  const image: ImageInput = { grid: { h, w }, nTokens: (h * w) / 4, patches, contentHash: 'x' };
  using embeds = model.encodeImage(image);
  const prompt = idsOf(5, 4);
  const ids = Int32Array.of(...prompt.slice(0, 3), pad, pad, ...prompt.slice(3));
  const positions = mropePositions(ids, pad, [{ h: 1, w: 2 }]);
  using sequence = opened(model);
  const vision = { ids, positions, embeds: [embeds] };
  return [embeds.read(), model.forwardWithVision(sequence, ids, 0, vision, pad, 'all')];
};

/** The driver takes a minute for attention over heads of 72 values; the same tower with more and smaller ones. */
const withSmallHeads = (model: GeneratedModel): GeneratedModel => {
  const tower = model.config['vision_config'];
  return { ...model, config: { ...model.config, vision_config: { ...Object(tower), num_heads: 9 } } };
};

const cases = [
  { name: 'qwen3', model: tinyQwen3(), asks: { decoding, resuming, prefill } },
  { name: 'qwen3_moe', model: tinyQwen3Moe(), asks: { decoding, resuming, prefill } },
  { name: 'qwen3_5', model: withSmallHeads(tinyQwen35({ vision: true })), asks: { decoding, resuming, seeing } },
  { name: 'qwen3_5_moe', model: tinyQwen35Moe({ vision: false }), asks: { decoding, resuming } },
] as const;

describe.skipIf(missing !== null)(`on Vulkan${missing === null ? '' : ` (${missing})`}`, { timeout: 300_000 }, () => {
  describe.each(cases)('$name', ({ model: generated, asks }) => {
    let dir: string;
    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'vulkan-'));
      await writeCheckpoint(dir, generated);
    });
    afterAll(() => rm(dir, { recursive: true }));

    /** Each time on a device newly opened: Mesa 22.3 crashes when one that multiplied two or more tokens by experts decodes one. */
    const answer = async (index: number, ask: (model: DeviceModel) => readonly Float32Array[]) => {
      const limits = { contextMax: 512, kvTokens: 2048, nSlots: 4, chunkMax: 64 };
      const options: ModelOptions = { modelId: 'acme/tiny', dir, weightType: 'f32', kvCacheType: 'f16', ...limits };
      using host = openDevice({ index, threads: 1 });
      using model = await host.loadModel(options, () => undefined);
      return ask(model);
    };

    it.each(Object.entries(asks))('gives the logits of the CPU: %s', async (_, ask) => {
      const [wanted, got] = [await answer(cpuIndex, ask), await answer(vulkanIndices[0] ?? -1, ask)];
      expect(got.map(({ length }) => length)).toEqual(wanted.map(({ length }) => length));
      wanted.forEach((values, i) => expect(relativeError(got[i] ?? new Float32Array(0), values)).toBeLessThan(1e-2));
    });
  });
});
