/**
 * Models that two and four devices share, on ggml's Vulkan backend without a GPU: they answer as a single device does,
 * however the tokens are cut, batched and resumed.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDevice } from '../src/model/device-host.ts';
import type { DeviceHost, DeviceModel, ModelOptions } from '../src/model/device-model.ts';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, tinyQwen3Moe, type GeneratedModel } from './generated-models.ts';
import { briefLogits, imageLogits, relativeError, textLogits } from './model-exercise.ts';
import { openVulkan } from './vulkan-devices.ts';
import { writeCheckpoint } from './write-checkpoint.ts';

process.env['GGML_VK_VISIBLE_DEVICES'] = '0,0,0,0';
// Mesa's software driver (22.3) fails now and then when it makes a kernel while another runs.
process.env['GGML_VK_DISABLE_ASYNC'] = '1';
process.env['GGML_VK_MAX_NODES_PER_SUBMIT'] = '100000';
const vulkan = openVulkan();
const skipped = vulkan.missing === null ? '' : ` (${vulkan.missing})`;
const [first = 0, ...rest] = vulkan.vulkanIndices;

const optionsOf = (dir: string, more: Partial<ModelOptions> = {}): ModelOptions => ({
  modelId: 'acme/tiny',
  dir,
  weightType: 'f32',
  kvCacheType: 'f16',
  contextMax: 512,
  kvTokens: 2048,
  nSlots: 4,
  chunkMax: 64,
  draftMax: 8,
  patchesMax: 64,
  ...more,
});

/** Half precision on these devices, against single on the CPU. Experts that are nearly as likely may change places. */
const tolerance = 2e-2;
const heads = 4;
const queries = 2;
const hybrid = tinyQwen35Moe({ heads, queries, vision: true });
/** Some seconds each on a software driver. */
const cases = [
  { name: 'qwen3', n: 4, model: tinyQwen3({ heads, queries }) },
  { name: 'qwen3_moe', n: 2, model: tinyQwen3Moe({ heads, queries }) },
  { name: 'qwen3_5', n: 2, model: tinyQwen35({ heads, queries, vision: false }) },
  { name: 'qwen3_5_moe', n: 4, model: hybrid },
] as const;

const groupOf = (n: number): DeviceHost => openDevice({ index: first, others: rest.slice(0, n - 1), threads: 1 });

describe.skipIf(vulkan.missing !== null)(`a model that devices share${skipped}`, { timeout: 400_000 }, () => {
  let alone: DeviceHost;
  let root: string;
  const written = new Map<GeneratedModel, string>();
  const folderOf = async (model: GeneratedModel): Promise<string> => {
    const dir = written.get(model) ?? join(root, String(written.size));
    if (!written.has(model)) await writeCheckpoint(dir, model);
    written.set(model, dir);
    return dir;
  };
  const load = async (host: DeviceHost, model: GeneratedModel, more?: Partial<ModelOptions>): Promise<DeviceModel> =>
    host.loadModel(optionsOf(await folderOf(model), more), () => undefined);

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'shared-'));
    alone = openDevice({ index: vulkan.cpuIndex, threads: 1 });
  });
  afterAll(async () => {
    alone[Symbol.dispose]();
    await rm(root, { recursive: true });
  });

  const errors = async (
    generated: GeneratedModel,
    n: number,
    ask: (model: DeviceModel) => readonly Float32Array[],
  ): Promise<readonly number[]> => {
    using one = await load(alone, generated);
    using group = groupOf(n);
    using shared = await load(group, generated);
    const wanted = ask(one);
    return ask(shared).map((values, i) => relativeError(values, wanted[i] ?? new Float32Array(0)));
  };

  it('answers as on one, however the tokens are cut, batched, taken back and resumed', async () => {
    for (const error of await errors(hybrid, 2, textLogits)) expect(error).toBeLessThan(tolerance);
  });

  it.each(cases)('answers as on one: $name over $n', async ({ model, n }) => {
    for (const error of await errors(model, n, briefLogits)) expect(error).toBeLessThan(tolerance);
  });

  it('sees as on one: the tower is on the first', async () => {
    for (const error of await errors(hybrid, 2, imageLogits)) expect(error).toBeLessThan(tolerance);
  });

  it('is refused with the reason where it cannot be shared, and with the numbers where a device has no room', async () => {
    using four = groupOf(4);
    await expect(load(four, tinyQwen3())).rejects.toMatchObject({
      code: 'unsupported_parameter',
      message: expect.stringContaining('over 4 devices 2 key/value heads cannot be shared evenly') as string,
    });
    using two = groupOf(2);
    await expect(load(two, hybrid, { kvTokens: 2 ** 30 })).rejects.toMatchObject({
      code: 'insufficient_vram',
      message: expect.stringMatching(
        /^Vulkan0: \d+ MB are needed \(weights \d+, KV cache \d+ .* MB are free$/,
      ) as string,
    });
  });

  it('takes of each device what is planned, and gives it back', async () => {
    using group = groupOf(2);
    const before = group.memory().held;
    const model = await load(group, hybrid);
    using one = await load(alone, hybrid);
    // Steps take as much on each as on one; weights and caches are shared but for norms, embedding and tower.
    expect(model.bytes).toBeGreaterThan(one.bytes);
    expect(model.bytes).toBeLessThan(1.5 * one.bytes);
    model[Symbol.dispose]();
    one[Symbol.dispose]();
    expect(group.memory().held).toEqual(before);
  });
});
