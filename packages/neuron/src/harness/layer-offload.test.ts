/** A model that no device has room for: two devices of 1000 MB, a host with 4000 MB, and weights of 1500 MB. */
import { afterEach, describe, expect, it } from 'vitest';
import { CortexError, type GgmlConfig, type NodeModel } from '@cortex/core';
import { chat, ids, setUp, type HarnessSetup } from '../../test/harness-setup.ts';
import type { ModelMeasurer } from './model-sizes.ts';

const mb = 2 ** 20;

const measuring = (weightsMb: number): ModelMeasurer => ({
  measure: async () => ({
    weightBytes: weightsMb * mb,
    mappedBytes: 0,
    kvBytesPerToken: 1024,
    stateBytes: 0,
    towerBytes: 0,
    contextMax: 4096,
    compute: [{ tokens: 4096, bytes: 100 * mb }],
    sharing: {
      mirroredBytes: 0,
      towerWeightBytes: 0,
      towerBytes: 0,
      imageRowBytes: 0,
      compute: [{ tokens: 4096, bytes: 100 * mb }],
      parts: [{ name: 'columns', count: 64, weightBytes: (weightsMb * mb) / 64, kvBytesPerToken: 16, stateBytes: 0 }],
    },
  }),
  close: async () => undefined,
});

let setup: HarnessSetup;
afterEach(() => setup[Symbol.asyncDispose]());

const start = async (config: Partial<GgmlConfig>, weightsMb = 1500): Promise<void> => {
  setup = await setUp(config, 2, measuring(weightsMb));
};

const load = (rest: object = {}): Promise<void> => setup.harness.load({ model_id: ids.vision, ...rest });

const errorOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    (error: unknown) => (error instanceof CortexError ? error : new Error(String(error))),
  );

const shown = async (): Promise<NodeModel | undefined> =>
  (await setup.harness.models()).find(({ id }) => id === ids.vision);

const layersWithHost = [
  { device: 0, name: 'FAKE', layers: 3, mb: 300 },
  { device: 1, name: 'FAKE', layers: 3, mb: 300 },
  { device: null, name: 'FAKE', layers: 3, mb: 300 },
];

describe('a model that no device has room for', () => {
  it('is refused with the numbers and the remedy', async () => {
    await start({});
    expect(await errorOf(load())).toMatchObject({
      code: 'insufficient_vram',
      message: expect.stringMatching(
        /needs 16\d\d MB \(weights 1500, .*\); device 0 has 1000 MB free; with layer_offload = true .* 4000 MB are free/,
      ) as string,
      facts: { needed_mb: expect.any(Number) as number, host_free_mb: 4000, remedy: 'layer_offload' },
    });
    expect(setup.groups).toEqual([]);
    // Shared by both it would fit: that too is a way.
    expect(await shown()).toMatchObject({ servable: { ok: true } });
    expect(await shown()).toMatchObject({ layer_offload: { host_mb: 4000, by_default: false } });
  });

  it('has no such remedy where not even all together have the room', async () => {
    await start({}, 9000);
    expect(await errorOf(load())).toMatchObject({ message: expect.not.stringContaining('layer_offload') as string });
    expect((await shown())?.servable.reason).not.toContain('layer_offload');
    expect(await shown()).not.toHaveProperty('layer_offload');
  });

  it('is told of as one that could be, where neither one device nor two that share it have the room', async () => {
    await start({}, 2500);
    expect((await shown())?.servable).toMatchObject({
      ok: false,
      reason: expect.stringContaining('with layer_offload = true') as string,
    });
  });

  it('is in layers over all where the neuron, or the load, allows it', async () => {
    await start({ layer_offload: true }, 2500);
    expect(await shown()).toMatchObject({
      status: 'available',
      servable: { ok: true },
      layer_offload: { host_mb: 4000, by_default: true },
    });
    expect(await errorOf(load({ layer_offload: false }))).toMatchObject({ code: 'insufficient_vram' });
    await load();
    expect(await shown()).toMatchObject({
      status: 'loaded',
      devices: [0, 1],
      layers: layersWithHost,
      vram_used_mb: 600,
    });
    expect((await chat(setup)).finish).toEqual(['stop']);
    expect(await errorOf(load({ layer_offload: true }))).toBe('no error');
    expect(await errorOf(load({ layer_offload: false }))).toMatchObject({ code: 'invalid_request' });
    await setup.harness.unload({ model_id: ids.vision });
    expect(setup.groups.map(({ modelIds }) => modelIds)).toEqual([[]]);
  });

  it('is on the devices that the load names', async () => {
    await start({});
    await load({ layer_offload: true, devices: [1] });
    expect(await shown()).toMatchObject({ devices: [1], layers: [{ device: 1 }, { device: null }] });
  });

  it('is whole on one as soon as it fits', async () => {
    await start({ layer_offload: true }, 500);
    await load();
    expect(await shown()).toMatchObject({ devices: [0], vram_used_mb: 20 });
    expect(await shown()).not.toHaveProperty('layers');
  });

  it('is lost with its devices taken together, each of which goes on by itself', async () => {
    await start({ layer_offload: true }, 2500);
    await load();
    setup.groups[0]?.poison('a copy hung');
    expect(await errorOf(chat(setup))).toMatchObject({ code: 'device_poisoned' });
    expect((await setup.harness.deviceHealth()).map(({ poisoned }) => poisoned)).toEqual([false, false]);
  });
});

describe('memory that the operator leaves to models', () => {
  it('is what loads and the list go by, less what models hold', async () => {
    await start({ device_memory_max_mb: 700, layer_offload: true }, 650);
    await load();
    expect(setup.groups[0]?.loads[0]?.roomBytes).toEqual([700 * mb, 700 * mb]);
    expect((await setup.harness.deviceHealth()).map(({ vram_free_mb: free }) => free)).toEqual([400, 400]);
    await setup.harness.load({ model_id: ids.text });
    expect(setup.groups[0]?.loads[1]?.roomBytes).toEqual([400 * mb, 400 * mb]);
  });
});
