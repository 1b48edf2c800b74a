import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { CortexError, type NodeModel } from '@cortex/core';
import { ids, setUp, type HarnessSetup } from '../../test/harness-setup.ts';
import type { MeasuredNeeds } from '../model/memory-plan.ts';
import type { ModelMeasurer } from './model-sizes.ts';

const mb = 2 ** 20;

/** 100 MB of weights, a megabyte of cache for 256 tokens, graphs that grow with the context. */
const needs: MeasuredNeeds = {
  weightBytes: 100 * mb,
  mappedBytes: 0,
  kvBytesPerToken: 4096,
  stateBytes: 2 * mb,
  towerBytes: 0,
  contextMax: 1_000_000,
  compute: [
    { tokens: 256, bytes: 10 * mb },
    { tokens: 1_000_000, bytes: 90 * mb },
  ],
  sharing: null,
};

/** Says the same of every model, once it is let. */
class FakeMeasurer implements ModelMeasurer {
  readonly asked: string[] = [];
  answer: MeasuredNeeds | CortexError = needs;
  gate: Promise<unknown> = Promise.resolve();

  async measure(dir: string, weightType: string, nDevices: number): Promise<MeasuredNeeds> {
    this.asked.push(`${path.basename(dir)} ${weightType}${nDevices === 1 ? '' : ` over ${nDevices}`}`);
    await this.gate;
    if (this.answer instanceof CortexError) throw this.answer;
    return this.answer;
  }

  async close(): Promise<void> {}
}

let setup: HarnessSetup;
afterEach(() => setup[Symbol.asyncDispose]());

const start = async (config: Parameters<typeof setUp>[0] = {}): Promise<FakeMeasurer> => {
  const measurer = new FakeMeasurer();
  setup = await setUp(config, 1, measurer);
  return measurer;
};

const modelOf = async (id: string): Promise<NodeModel | undefined> =>
  (await setup.harness.models()).find((model) => model.id === id);

const errorOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );

/** The same dealt out in 64 pieces but for 20 MB that each has, and a tower of 30 on the first. */
const shared: MeasuredNeeds = {
  ...needs,
  sharing: {
    mirroredBytes: 20 * mb,
    towerWeightBytes: 30 * mb,
    towerBytes: 0,
    imageRowBytes: 0,
    compute: needs.compute,
    parts: [{ name: 'columns', count: 64, weightBytes: (80 * mb) / 64, kvBytesPerToken: 64, stateBytes: mb / 32 }],
  },
};

describe('a model on disk', () => {
  it('is listed with what a conversation on it needs, looked at once', async () => {
    const measurer = await start();
    const listed = await modelOf(ids.vision);
    // 4096 tokens: 16 MB of cache; graphs of 10 to 11 MB.
    expect(listed).toMatchObject({ vram_needed_mb: 129, vram_used_mb: 0, servable: { ok: true } });
    await setup.harness.models();
    expect(measurer.asked.filter((asked) => asked === `${ids.vision} auto`)).toHaveLength(1);
    // One that is refused anyway is not looked at.
    expect(measurer.asked).toHaveLength(2);
  });

  it('has the context that there is room for, and that model and operator allow', async () => {
    await start();
    // 1000 MB less 102, the graphs and a fifth.
    expect((await modelOf(ids.vision))?.limit).toMatchObject({ context: 163_840, input: 163_839, output: 163_839 });
    setup.device.freeBytes = 200 * mb;
    const shorter = (await modelOf(ids.vision))?.limit?.context ?? 0;
    expect(shorter).toBeGreaterThan(10_000);
    expect(shorter).toBeLessThan(20_000);
    await setup[Symbol.asyncDispose]();
    await start({ context_max: 2000 });
    expect((await modelOf(ids.vision))?.limit).toEqual({ context: 2000, input: 1999, output: 1999 });
  });

  it('counts what other models hold as room: they may go', async () => {
    await start();
    await setup.harness.load({ model_id: ids.text });
    setup.device.freeBytes = 100 * mb;
    // The fake device says that a model takes 20 MB.
    expect(await modelOf(ids.vision)).toMatchObject({ servable: { ok: true } });
    setup.device.freeBytes = 90 * mb;
    expect(await modelOf(ids.vision)).toMatchObject({ servable: { ok: false } });
  });

  it('that no device could hold is not servable, with the numbers', async () => {
    await start();
    setup.device.freeBytes = 50 * mb;
    expect((await modelOf(ids.vision))?.servable).toEqual({
      ok: false,
      reason:
        "it needs 113 MB (weights 100, KV cache 1, recurrent states 2, computing 10), device 0 has 50 MB; with layer_offload = true some of its layers could be in the host's memory",
    });
    expect(await errorOf(setup.harness.load({ model_id: ids.vision }))).toMatchObject({
      code: 'insufficient_vram',
      message: expect.stringMatching(/needs 113 MB \(weights 100, .*\); device 0 has 50 MB free/),
      facts: { needed_mb: 113, free_mb: 50 },
    });
    // Nothing was begun on the device.
    expect(setup.device.loads).toEqual([]);
  });

  it('whose weights are broken is not servable, and is looked at again when it is asked for', async () => {
    const measurer = await start();
    measurer.answer = new CortexError('model_load_failed', 'model.safetensors: tensor a is outside the file');
    expect((await modelOf(ids.vision))?.servable).toEqual({ ok: false, reason: measurer.answer.message });
    expect(await errorOf(setup.harness.load({ model_id: ids.vision }))).toMatchObject({ code: 'model_load_failed' });
    measurer.answer = needs;
    await setup.harness.load({ model_id: ids.vision });
    expect(await modelOf(ids.vision)).toMatchObject({ status: 'loaded', servable: { ok: true } });
  });

  it('that could not be measured is loaded all the same: its device plans again', async () => {
    const measurer = await start();
    measurer.answer = new CortexError('internal_error', 'the thread ended');
    expect(await modelOf(ids.vision)).toMatchObject({ servable: { ok: true } });
    await setup.harness.load({ model_id: ids.vision });
    expect(await modelOf(ids.vision)).toMatchObject({ status: 'loaded' });
  });

  it('is listed by its files as long as no more is known', async () => {
    const measurer = await start();
    const gate = new AbortController();
    measurer.gate = new Promise<void>((resolve) => gate.signal.addEventListener('abort', () => resolve()));
    expect(await modelOf(ids.vision)).toMatchObject({ limit: { context: 4096 }, servable: { ok: true } });
    gate.abort();
    expect(await modelOf(ids.vision)).toMatchObject({ vram_needed_mb: 129 });
  });

  it('that has settings of its own is measured with them, and needs what each of its devices has to have', async () => {
    const measurer = new FakeMeasurer();
    measurer.answer = shared;
    setup = await setUp({}, 3, measurer, [{ id: ids.vision, quant: 'q8_0', tensor_parallel: 2 }]);
    const [first, second, third] = setup.devices;
    for (const device of setup.devices) device.freeBytes = 200 * mb;
    // 31 MB on each of two, 30 on the first, and 98 dealt out.
    expect(await modelOf(ids.vision)).toMatchObject({
      vram_needed_mb: 190,
      sharing: { each_mb: 31, first_mb: 30, parts: [{ name: 'columns', count: 64, mb: 1.53125 }] },
      servable: { ok: true },
    });
    expect(measurer.asked).toContain(`${ids.vision} q8_0 over 2`);
    // One may have less than the other.
    first!.freeBytes = 65 * mb;
    third!.freeBytes = 60 * mb;
    expect(await modelOf(ids.vision)).toMatchObject({ servable: { ok: true } });
    // The tower and what each has leave nothing for a piece of the rest.
    first!.freeBytes = 61 * mb;
    third!.freeBytes = 33 * mb;
    second!.freeBytes = 34 * mb;
    expect((await modelOf(ids.vision))?.servable).toEqual({
      ok: false,
      reason:
        'over 2 devices it needs 173 MB (weights 150, KV cache 1, recurrent states 2, computing 20), 30 MB of it on ' +
        'each whatever its part; device 0 has 61 MB, device 1 has 34 MB, device 2 has 33 MB',
    });
    second!.poison('gone');
    third!.freeBytes = 200 * mb;
    expect(await modelOf(ids.vision)).toMatchObject({ servable: { ok: false } });
  });

  it('whose settings cannot be is not servable, with the reason', async () => {
    setup = await setUp({}, 2, new FakeMeasurer(), [{ id: ids.vision, devices: [5] }]);
    expect((await modelOf(ids.vision))?.servable).toEqual({
      ok: false,
      reason: 'there is no device 5 here, only 0, 1',
    });
    expect((await modelOf(ids.text))?.servable).toEqual({ ok: true });
  });

  it('is measured anew for a load with another number type', async () => {
    const measurer = await start();
    await setup.harness.models();
    await setup.harness.load({ model_id: ids.vision, quant: 'q8_0' });
    expect(measurer.asked.at(-1)).toBe(`${ids.vision} q8_0`);
  });
});
