/**
 * Models whose layers are on two devices and the host, on ggml's Vulkan backend without a GPU: they answer as a single
 * device does. `layer-offload.native.test.ts` asks them more than Mesa's software driver (22.3) bears, which crashes in some
 * sequences of steps, also where one device has all of the model, and with experts: here each is on devices newly opened.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDevice } from '../src/model/device-host.ts';
import type { DeviceHost } from '../src/model/device-model.ts';
import { tinyQwen3, tinyQwen35, type GeneratedModel } from './generated-models.ts';
import { briefLogits, optionsOf, relativeError } from './model-exercise.ts';
import { openVulkan } from './vulkan-devices.ts';
import { writeCheckpoint } from './write-checkpoint.ts';

process.env['GGML_VK_DISABLE_ASYNC'] = '1';
process.env['GGML_VK_MAX_NODES_PER_SUBMIT'] = '100000';
const vulkan = openVulkan();
const skipped = vulkan.missing === null ? '' : ` (${vulkan.missing})`;
const [first = 0, ...others] = vulkan.vulkanIndices;

/** Half precision on these devices, against single on the CPU. */
const tolerance = 1e-2;

const spreadOver = (indices: readonly number[]): DeviceHost =>
  openDevice({ index: first, others: indices, sharing: 'layers', threads: 1 });

const answerAlone = async (dir: string): Promise<readonly Float32Array[]> => {
  using alone = openDevice({ index: vulkan.cpuIndex, threads: 1 });
  using model = await alone.loadModel(optionsOf(dir), () => undefined);
  return briefLogits(model);
};

/** Room for about these parts of the model on each device; the rest is the host's. */
const roomsFor = async (host: DeviceHost, dir: string, shares: readonly number[]): Promise<readonly number[]> => {
  using whole = await host.loadModel(optionsOf(dir), () => undefined);
  const [computing, all] = [whole.parts.at(-1)?.nBytes ?? 0, whole.parts[0]?.nBytes ?? 0];
  return shares.map((share) => computing + share * (all - computing));
};

describe.skipIf(vulkan.missing !== null)(`layers on several devices${skipped}`, { timeout: 400_000 }, () => {
  let root: string;
  let nWritten = 0;
  const written = async (model: GeneratedModel): Promise<string> => {
    const dir = join(root, String(nWritten++));
    await writeCheckpoint(dir, model);
    return dir;
  };

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'layers-'));
  });
  afterAll(() => rm(root, { recursive: true }));

  const cases = [
    { name: 'attention', model: tinyQwen3(), shares: [0.55, 0.42] },
    { name: 'hybrid with a predictor', model: tinyQwen35({ vision: false, predictor: true }), shares: [0.6, 0.35] },
  ] as const;

  it.each(cases)('answer as on one: $name', async ({ model, shares }) => {
    const dir = await written(model);
    const wanted = await answerAlone(dir);
    using host = spreadOver(others.slice(0, shares.length - 1));
    const roomBytes = await roomsFor(host, dir, shares);
    const before = host.memory().held;
    const answered = async (): Promise<readonly Float32Array[]> => {
      using spread = await host.loadModel(optionsOf(dir, { roomBytes }), () => undefined);
      // Nobody is left out, and nobody has more than its room.
      expect(spread.parts.every(({ nLayers }) => nLayers > 0)).toBe(true);
      const over = spread.parts.filter(({ nBytes, member }) => member !== null && nBytes > (roomBytes[member] ?? 0));
      expect(over).toEqual([]);
      expect((host.memory().held?.nBytes ?? 0) - (before?.nBytes ?? 0)).toBeLessThanOrEqual(spread.bytes);
      return briefLogits(spread);
    };
    const got = await answered();
    wanted.forEach((values, i) => expect(relativeError(got[i] ?? new Float32Array(0), values)).toBeLessThan(tolerance));
    expect(host.memory().held).toEqual(before);
  });

  it('are refused with the numbers where not even all have the room', async () => {
    const dir = await written(tinyQwen3());
    using host = spreadOver([]);
    await expect(
      host.loadModel(optionsOf(dir, { roomBytes: [2 ** 20], kvTokens: 2 ** 30 }), () => undefined),
    ).rejects.toMatchObject({
      code: 'insufficient_vram',
      message: expect.stringMatching(
        /^layers over Vulkan0 \+ CPU: \d+ MB are needed \(weights \d+, KV cache \d+ .*\): Vulkan0 has 0 of its 1 free, CPU would have \d+ and has \d+ free$/,
      ) as string,
    });
  });
});
