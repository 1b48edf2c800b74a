/**
 * A neuron as its operator meets it whose devices are too small for a model: two Vulkan devices on Mesa's software driver,
 * of which models may have a few megabytes each.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeModelsSchema, type NodeModel } from '@cortex/core';
import type { ChatCompletionMessageParam } from 'openai/resources/chat/completions';
import { openVulkan } from '../../packages/neuron/test/vulkan-devices.ts';
import { fixtureModel, root, startNeuronProcess, type NeuronProcess } from './neuron-process.ts';

const { missing } = openVulkan();

// The neuron finds the Vulkan package where tests keep it.
const peers = join(root, 'tools/peers/node_modules');
if (existsSync(peers)) process.env['NODE_PATH'] = peers;
process.env['GGML_VK_DISABLE_ASYNC'] = '1';
process.env['GGML_VK_MAX_NODES_PER_SUBMIT'] = '100000';
// In single precision, for the reference is.
process.env['GGML_VK_DISABLE_F16'] = '1';

interface ReferenceCase {
  readonly messages: ChatCompletionMessageParam[];
  readonly continuation_text: string;
}

const reference = JSON.parse(
  readFileSync(join(root, `fixtures/cases/${fixtureModel}/short.json`), 'utf8'),
) as ReferenceCase;

describe.skipIf(missing !== null)(`a neuron with small devices${missing === null ? '' : ` (${missing})`}`, () => {
  let neuron: NeuronProcess;
  beforeAll(async () => {
    neuron = await startNeuronProcess({
      ggml: [
        'device_memory_max_mb = 10',
        'kv_cache_type = "f32"',
        'quant = "f32"',
        'parallel = 1',
        'context_max = 256',
        'kv_tokens = 256',
        'prefill_chunk = 16',
        'image_resized_pixels_max = 65536',
      ],
    });
  }, 120_000);
  afterAll(() => neuron?.[Symbol.asyncDispose]());

  const shown = async (): Promise<NodeModel | undefined> => {
    const models: unknown = await (await fetch(`${neuron.url}/models`)).json();
    return nodeModelsSchema.parse(models).find(({ id }) => id === fixtureModel);
  };
  const load = (rest: object) => neuron.post('/models/load', { model_id: fixtureModel, wait: true, ...rest });

  it('refuses a model that they have no room for, with the numbers and the remedy', async () => {
    const { status, body } = await load({});
    expect(status).toBe(503);
    expect(body.error).toMatchObject({ code: 'insufficient_vram', remedy: 'layer_offload' });
    expect(body.error?.['message']).toMatch(
      /needs \d+ MB \(weights \d+, .*\); device 0 has 10 MB free; with layer_offload = true .* \d+ MB are free/,
    );
  }, 60_000);

  it('has it in layers over them and the host where that is allowed, answers by the reference, and gives all back', async () => {
    expect(await load({ layer_offload: true })).toMatchObject({ status: 200, body: { status: 'loaded' } });
    const model = await shown();
    expect(model).toMatchObject({ status: 'loaded', devices: [0, 1] });
    expect(model?.layers?.map(({ device }) => device)).toEqual([0, 1, null]);
    const onHost = model?.layers?.at(-1)?.layers ?? 0;
    expect(onHost).toBeGreaterThan(0);
    expect(onHost).toBeLessThan(6);
    expect(model?.layers?.reduce((sum, { layers }) => sum + layers, 0)).toBe(6);
    const answer = await neuron.client.chat.completions.create({
      model: fixtureModel,
      messages: reference.messages,
      max_tokens: 12,
      temperature: 0,
    });
    expect(answer.choices[0]?.message.content).toBe(reference.continuation_text);
    const during = (await neuron.health()).devices.map(({ vram_free_mb: free }) => free);
    expect(Math.max(...during)).toBeLessThan(10);
    expect(await neuron.post('/models/unload', { model_id: fixtureModel })).toMatchObject({ status: 200 });
    expect((await neuron.health()).devices.map(({ vram_free_mb: free }) => free)).toEqual([10, 10]);
  }, 120_000);
});
