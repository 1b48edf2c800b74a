import { describe, expect, it } from 'vitest';
import { neuronConfigSchema, type DefaultModel } from '@cortex/core';
import { loadOptionsOf } from './load-options.ts';
import { ModelSettings, type SettledOptions } from './model-settings.ts';

const devices = [0, 1, 2].map((index) => ({ index, name: 'card', backend: 'cuda', vram_total_mb: 1 }));
const { ggml } = neuronConfigSchema.parse({ harness: { ggml: { quant: 'f16' } } }).harness;

const settled = (table: Omit<DefaultModel, 'id'>, asked: object, dir = '/models/m'): SettledOptions =>
  new ModelSettings(ggml, devices, [{ id: 'm', ...table }]).settle(
    { id: 'm', dir },
    loadOptionsOf({ model_id: 'm', ...asked }, devices),
  );

describe('a load of a model with settings of its own', () => {
  const table = { quant: 'q8_0', tensor_parallel: 2, devices: [1, 2] } as const;

  it.each([
    [{}, 'q8_0', 2, [1, 2]],
    [{ quant: 'f32' }, 'f32', 2, [1, 2]],
    [{ tensor_parallel: 2 }, 'q8_0', 2, [1, 2]],
    [{ tensor_parallel: 1 }, 'q8_0', 1, null],
    [{ devices: [0] }, 'q8_0', 1, [0]],
    [{ devices: [0, 2] }, 'q8_0', 2, [0, 2]],
    [{ tensor_parallel: 3, quant: 'auto' }, 'auto', 3, null],
  ])('has those that it does not name: %j', (asked, weightType, nDevices, deviceIndices) => {
    expect(settled({ ...table, devices: [...table.devices] }, asked)).toMatchObject({
      weightType,
      nDevices,
      deviceIndices,
    });
  });

  it('has the type of all models, or that of its file, where its table names none', () => {
    expect(settled({}, {})).toMatchObject({ weightType: 'f16', nDevices: null, deviceIndices: null });
    expect(settled({ devices: [1] }, {}, '/models/m.gguf')).toMatchObject({
      weightType: 'auto',
      nDevices: 1,
      deviceIndices: [1],
    });
  });

  it('has its layers spread where it, its table or the neuron says so, over the devices that are named', () => {
    expect(settled({}, {}).mayOffload).toBe(false);
    expect(settled({ layer_offload: true }, {}).mayOffload).toBe(true);
    expect(settled({ layer_offload: true }, { layer_offload: false }).mayOffload).toBe(false);
    const spread = { mayOffload: true, nDevices: null };
    expect(settled({ tensor_parallel: 2, devices: [0, 2] }, { layer_offload: true })).toMatchObject({
      ...spread,
      deviceIndices: [0, 2],
    });
    expect(settled({}, { layer_offload: true, devices: [1, 2] })).toMatchObject({ ...spread, deviceIndices: [1, 2] });
    expect(() => settled({}, { layer_offload: true, tensor_parallel: 2 })).toThrow('not both');
  });

  it('is refused where they cannot be and nothing else is asked for', () => {
    expect(() => settled({ tensor_parallel: 4 }, {})).toThrow('tensor_parallel is 4, and there are 3 devices here');
    expect(() => settled({ devices: [3] }, { quant: 'f32' })).toThrow('there is no device 3 here, only 0, 1, 2');
    expect(settled({ tensor_parallel: 4 }, { tensor_parallel: 1 }).nDevices).toBe(1);
  });
});
