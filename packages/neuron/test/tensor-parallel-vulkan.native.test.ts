/**
 * Models that two and four devices share, on ggml's Vulkan backend without a GPU: they answer as a single device does.
 * Its memory is not the host's, as a GPU's is not; everything else about sharing is tried on the CPU.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDevice } from '../src/model/device-host.ts';
import type { DeviceHost, DeviceModel, ModelOptions } from '../src/model/device-model.ts';
import { tinyQwen3, tinyQwen35, tinyQwen35Moe, type GeneratedModel } from './generated-models.ts';
import { briefLogits, imageLogits, optionsOf, relativeError, textLogits } from './model-exercise.ts';
import { openVulkan } from './vulkan-devices.ts';
import { writeCheckpoint } from './write-checkpoint.ts';

process.env['GGML_VK_VISIBLE_DEVICES'] = '0,0,0,0';
// Mesa's software driver (22.3) crashes now and then on its queue's thread, when it makes a kernel while another runs;
// with the many kernels of four-bit experts more often than not.
process.env['GGML_VK_DISABLE_ASYNC'] = '1';
process.env['GGML_VK_MAX_NODES_PER_SUBMIT'] = '100000';
const vulkan = openVulkan();
const skipped = vulkan.missing === null ? '' : ` (${vulkan.missing})`;
const [first = 0, ...rest] = vulkan.vulkanIndices;

/** Half precision on these devices, against single on the CPU. Experts that are nearly as likely may change places. */
const tolerance = 2e-2;
const heads = 4;
const queries = 2;
const hybrid = tinyQwen35Moe({ heads, queries, vision: true });
const quantised = { weightType: 'q8_0', kvCacheType: 'q8_0' } as const;
/** The CPU rounds activations too. */
const quantisedTolerance = 0.1;

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
    more?: Partial<ModelOptions>,
  ): Promise<readonly number[]> => {
    using one = await load(alone, generated, more);
    using group = groupOf(n);
    using shared = await load(group, generated, more);
    const wanted = ask(one);
    return ask(shared).map((values, i) => relativeError(values, wanted[i] ?? new Float32Array(0)));
  };

  it('answers as on one, however the tokens are cut, batched, taken back and resumed', async () => {
    for (const error of await errors(hybrid, 2, textLogits)) expect(error).toBeLessThan(tolerance);
  });

  it('answers as on one: qwen3 over 4', async () => {
    for (const error of await errors(tinyQwen3({ heads, queries }), 4, briefLogits)) {
      expect(error).toBeLessThan(tolerance);
    }
  });

  it('answers as on one: qwen3_5 with weights and cache of eight bits', async () => {
    const model = tinyQwen35({ heads, queries, ff: 256, vision: false });
    for (const error of await errors(model, 2, briefLogits, quantised)) expect(error).toBeLessThan(quantisedTolerance);
  });

  it('sees as on one: the tower is on the first', async () => {
    for (const error of await errors(hybrid, 2, imageLogits)) expect(error).toBeLessThan(tolerance);
  });

  it('is refused with the numbers where a device has no room', async () => {
    using two = groupOf(2);
    await expect(load(two, hybrid, { kvTokens: 2 ** 30 })).rejects.toMatchObject({
      code: 'insufficient_vram',
      message: expect.stringMatching(
        /^Vulkan0: \d+ MB are needed \(weights \d+, KV cache \d+ .* MB are free$/,
      ) as string,
    });
  });
});
