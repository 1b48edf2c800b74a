/** What a neuron says of a model that its devices share before it loads it, and what the load then gives. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeModelsSchema, type NodeModel } from '@cortex/core';
import { openVulkan } from '../../packages/neuron/test/vulkan-devices.ts';
import { fixtureModel, root, startNeuronProcess, type NeuronProcess } from './neuron-process.ts';

const { missing } = openVulkan();

// The neuron finds the Vulkan package where tests keep it.
const peers = join(root, 'tools/peers/node_modules');
if (existsSync(peers)) process.env['NODE_PATH'] = peers;

const deviceMb = 24;

describe.skipIf(missing !== null)(`a model that two devices share${missing === null ? '' : ` (${missing})`}`, () => {
  let neuron: NeuronProcess;
  beforeAll(async () => {
    const ggml = [`device_memory_max_mb = ${deviceMb}`, 'parallel = 2', 'image_resized_pixels_max = 65536'];
    const ours = ['[[default_models]]', `id = "${fixtureModel}"`, 'tensor_parallel = 2'];
    neuron = await startNeuronProcess({ ggml: [...ggml, ...ours] });
  }, 120_000);
  afterAll(() => neuron?.[Symbol.asyncDispose]());

  const shown = async (): Promise<NodeModel | undefined> => {
    const models: unknown = await (await fetch(`${neuron.url}/models`)).json();
    return nodeModelsSchema.parse(models).find(({ id }) => id === fixtureModel);
  };

  it('has the context that was told before the load, within the memory of each', async () => {
    expect(await neuron.post('/models/load', { model_id: fixtureModel, wait: true })).toMatchObject({ status: 200 });
    const after = await shown();
    expect(after).toMatchObject({ status: 'loaded', devices: [0, 1] });
    for (const mb of after?.devices_mb ?? [Infinity]) expect(mb).toBeLessThanOrEqual(deviceMb);
    expect(await neuron.post('/models/unload', { model_id: fixtureModel })).toMatchObject({ status: 200 });
    const before = await shown();
    expect(before?.status).toBe('available');
    // The model itself bears 4096: the memory says how many.
    expect(before?.limit?.context).toBeLessThan(4096);
    expect(before?.limit).toEqual(after?.limit);
  }, 120_000);
});
