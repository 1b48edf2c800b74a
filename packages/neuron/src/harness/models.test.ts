import { rm } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CortexError, type DefaultModel, type NodeModel } from '@cortex/core';
import {
  chat,
  chatRequest,
  collect,
  ids,
  newContext,
  says,
  setUp,
  type HarnessSetup,
} from '../../test/harness-setup.ts';
import { until } from '../../test/start-server.ts';

let setup: HarnessSetup;
beforeEach(async () => {
  setup = await setUp({}, 2);
});
afterEach(() => setup[Symbol.asyncDispose]());

const modelOf = async (id: string): Promise<NodeModel | undefined> =>
  (await setup.harness.models()).find((model) => model.id === id);
const statusOf = async (id: string): Promise<string | undefined> => (await modelOf(id))?.status;
const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    (error: unknown) => (error instanceof CortexError ? error.code : error),
  );

/** Loads wait until the returned function is called. */
const holdLoads = (): (() => void) => {
  const gate = new AbortController();
  const opened = new Promise<void>((resolve) => gate.signal.addEventListener('abort', () => resolve()));
  for (const device of setup.devices) device.loadGate = opened;
  return () => gate.abort();
};

/** A chat that says nothing and does not end by itself; resolves once the device has it. */
const startSilent = async (): Promise<{ readonly ended: Promise<unknown>; readonly leave: () => void }> => {
  setup.device.script = () => null;
  const context = newContext();
  const nBefore = setup.device.specs.length;
  const ended = codeOf(collect(setup.harness.chat(chatRequest(), context)));
  await until(() => setup.device.specs.length > nBefore);
  return { ended, leave: () => context.controller.abort(new CortexError('client_closed_request', 'left')) };
};

describe('the list of models', () => {
  it('tells of models on disk what they can do, without loading any', async () => {
    expect(await modelOf(ids.vision)).toMatchObject({
      status: 'available',
      devices: [],
      capabilities: ['text', 'vision'],
      limit: { context: 4096 },
      tool_call: true,
      reasoning: true,
      servable: { ok: true },
    });
    expect(await modelOf(ids.text)).toMatchObject({ capabilities: ['text'] });
    expect(await modelOf(ids.unknown)).toMatchObject({
      servable: { ok: false, reason: expect.stringContaining('mamba9') },
    });
    expect(setup.devices.flatMap(({ loads }) => loads)).toEqual([]);
  });

  it('shows a load as it goes, then what it takes and where', async () => {
    const open = holdLoads();
    const load = setup.harness.load({ model_id: ids.vision });
    await until(() => setup.device.loads.length > 0);
    expect(await modelOf(ids.vision)).toMatchObject({
      status: 'loading',
      progress: { fraction: 0.5, phase: 'weights' },
    });
    open();
    await load;
    expect(await modelOf(ids.vision)).toMatchObject({
      status: 'loaded',
      devices: [0],
      vram_used_mb: 20,
      limit: { context: 512 },
    });
  });

  it('keeps a model whose folder has gone while it is loaded', async () => {
    await setup.harness.load({ model_id: ids.text });
    await rm(path.join(setup.root, ids.text), { recursive: true });
    expect(await statusOf(ids.text)).toBe('loaded');
  });
});

describe('loading', () => {
  it('is done once, however many ask, requests among them', async () => {
    const open = holdLoads();
    setup.device.script = says('yes');
    const loads = [1, 2, 3].map(() => setup.harness.load({ model_id: ids.vision }));
    const answers = [chat(setup), chat(setup)];
    await until(() => setup.device.loads.length > 0);
    open();
    await Promise.all(loads);
    expect((await Promise.all(answers)).map(({ text }) => text)).toEqual([['yes'], ['yes']]);
    expect(setup.devices.flatMap((device) => device.loads)).toHaveLength(1);
  });

  it('goes on when the request that wanted it has left', async () => {
    const open = holdLoads();
    const context = newContext();
    const answer = codeOf(collect(setup.harness.chat(chatRequest(), context)));
    await until(() => setup.device.loads.length > 0);
    context.controller.abort(new CortexError('client_closed_request', 'left'));
    expect(await answer).toBe('client_closed_request');
    open();
    await setup.harness.load({ model_id: ids.vision });
    expect(setup.device.loads).toHaveLength(1);
  });

  it('takes the device with the most free memory, or the one that was named', async () => {
    const [first, second] = setup.devices;
    second!.freeBytes = first!.freeBytes + 1;
    await setup.harness.load({ model_id: ids.vision });
    await setup.harness.load({ model_id: ids.text, devices: [0], quant: 'BF16' });
    expect(second?.modelIds).toEqual([ids.vision]);
    expect(first?.loads[0]).toMatchObject({ modelId: ids.text, weightType: 'bf16' });
  });

  it('is refused where no device has the room, and the reason stays with the model', async () => {
    for (const device of setup.devices) device.freeBytes = 100;
    expect(await codeOf(setup.harness.load({ model_id: ids.vision }))).toBe('insufficient_vram');
    expect(await modelOf(ids.vision)).toMatchObject({ status: 'failed', error: expect.stringContaining('MB') });
    for (const device of setup.devices) device.freeBytes = 1e9;
    // A request soon after gets the same answer; an operator's load tries again.
    expect(await codeOf(chat(setup))).toBe('insufficient_vram');
    await setup.harness.load({ model_id: ids.vision });
    expect(await statusOf(ids.vision)).toBe('loaded');
  });

  it.each([
    [{ quant: 'q4_k' }, 'unsupported_parameter'],
    [{ tensor_parallel: 3 }, 'unsupported_parameter'],
    [{ tensor_parallel: 3, devices: [0, 1] }, 'unsupported_parameter'],
    [{ tensor_parallel: 1, devices: [0, 1] }, 'invalid_request'],
    [{ devices: [7] }, 'invalid_request'],
    [{ model_id: 'none' }, 'model_not_found'],
    [{ model_id: ids.unknown }, 'model_load_failed'],
  ])('refuses what is not there: %j', async (rest, code) => {
    expect(await codeOf(setup.harness.load({ model_id: ids.vision, ...rest }))).toBe(code);
    expect(setup.device.loads).toEqual([]);
  });

  it('does not take a model loaded otherwise for what was asked', async () => {
    await setup.harness.load({ model_id: ids.vision });
    expect(await codeOf(setup.harness.load({ model_id: ids.vision, quant: 'f16' }))).toBe('invalid_request');
    expect(await codeOf(setup.harness.load({ model_id: ids.vision, quant: 'auto' }))).toBe('no error');
  });
});

const modelsOf = async (): Promise<readonly unknown[]> =>
  (await setup.harness.models()).map(({ id, status, devices, vram_used_mb }) => ({
    id,
    status,
    devices,
    vram_used_mb,
  }));

describe('a model that devices share', () => {
  it('is loaded on the thread of their group, is shown on all of them, and is left alone when asked for again', async () => {
    await setup.harness.load({ model_id: ids.vision, tensor_parallel: 2 });
    expect(setup.groups.map(({ members, modelIds }) => ({ members, modelIds }))).toEqual([
      { members: [0, 1], modelIds: [ids.vision] },
    ]);
    expect(await modelsOf()).toContainEqual({ id: ids.vision, status: 'loaded', devices: [0, 1], vram_used_mb: 20 });
    await setup.harness.load({ model_id: ids.vision, devices: [1, 0] });
    expect(await codeOf(setup.harness.load({ model_id: ids.vision, tensor_parallel: 1 }))).toBe('invalid_request');
    await setup.harness.load({ model_id: ids.text, tensor_parallel: 2 });
    expect(setup.groups).toHaveLength(1);
    expect((await chat(setup)).finish).toEqual(['stop']);
    expect(setup.devices.flatMap((device) => device.loads)).toEqual([]);
  });

  it('is lost with its group, whose devices go on serving', async () => {
    await setup.harness.load({ model_id: ids.vision, tensor_parallel: 2 });
    await setup.harness.load({ model_id: ids.text, devices: [1] });
    setup.groups[0]?.poison('a collective hung');
    expect(await codeOf(chat(setup))).toBe('device_poisoned');
    expect((await chat(setup, { model: ids.text })).finish).toEqual(['stop']);
    expect((await setup.harness.deviceHealth()).map(({ poisoned }) => poisoned)).toEqual([false, false]);
    expect(setup.harness.brokenGroups()).toEqual([{ devices: [0, 1], by_layers: false, reason: 'a collective hung' }]);
    expect((await modelOf(ids.vision))?.servable).toEqual({
      ok: false,
      reason:
        'devices 0+1 (Fake GPU 0) are out of service together until the neuron is restarted, each goes on alone: a collective hung',
    });
    expect(await codeOf(setup.harness.load({ model_id: ids.vision, tensor_parallel: 2 }))).toBe('device_poisoned');
    await setup.harness.load({ model_id: ids.vision, tensor_parallel: 1 });
    expect((await chat(setup)).finish).toEqual(['stop']);
  });
});

/** Three devices, and settings of models. */
const restartWith = async (defaults: readonly DefaultModel[]): Promise<void> => {
  await setup[Symbol.asyncDispose]();
  setup = await setUp({ quant: 'f16' }, 3, null, defaults);
};

describe('a model with settings of its own', () => {
  it('has them whenever it is loaded: by a request, by a load that says nothing, and again after it was unloaded', async () => {
    await restartWith([{ id: ids.vision, quant: 'q8_0', tensor_parallel: 2, devices: [1, 2] }]);
    expect(await modelOf(ids.vision)).toMatchObject({ placement: { tensor_parallel: 2, devices: [1, 2] } });
    expect((await modelOf(ids.text))?.placement).toBeUndefined();
    for (const again of [() => chat(setup), () => setup.harness.load({ model_id: ids.vision })]) {
      await again();
      expect(await modelOf(ids.vision)).toMatchObject({ devices: [1, 2], quant: 'q8_0' });
      await setup.harness.unload({ model_id: ids.vision });
    }
    await chat(setup, { model: ids.text });
    expect(await modelOf(ids.text)).toMatchObject({ quant: 'f16' });
  });

  it('that cannot be is not loaded otherwise instead, but where a load says so', async () => {
    await restartWith([{ id: ids.vision, tensor_parallel: 4 }]);
    expect(await codeOf(chat(setup))).toBe('unsupported_parameter');
    expect(setup.devices.flatMap((device) => device.loads)).toEqual([]);
    await setup.harness.load({ model_id: ids.vision, tensor_parallel: 1 });
    expect((await chat(setup)).finish).toEqual(['stop']);
  });
});

describe('unloading', () => {
  it('is told of once it has ended, and so are loads, also those that fail', async () => {
    const { harness, nMoved } = setup;
    const full = new CortexError('insufficient_vram', 'full');
    for (const device of setup.devices) device.loadError = full;
    await codeOf(harness.load({ model_id: ids.vision }));
    expect(nMoved()).toBe(1);
    for (const device of setup.devices) device.loadError = null;
    await harness.load({ model_id: ids.vision });
    expect(nMoved()).toBe(2);
    const { leave, ended } = await startSilent();
    const unload = harness.unload({ model_id: ids.vision, mode: 'wait' });
    expect(nMoved()).toBe(2);
    leave();
    await Promise.all([ended, unload]);
    expect(nMoved()).toBe(3);
  });

  it('is refused while a request runs, and done when it has ended', async () => {
    const silent = await startSilent();
    expect(await codeOf(setup.harness.unload({ model_id: ids.vision }))).toBe('model_busy');
    silent.leave();
    await silent.ended;
    await setup.harness.unload({ model_id: ids.vision });
    expect(await statusOf(ids.vision)).toBe('available');
    expect(setup.device.modelIds).toEqual([]);
  });

  it('waits for the requests that run, when asked to; one that comes meanwhile has the model loaded again', async () => {
    const silent = await startSilent();
    const unload = setup.harness.unload({ model_id: ids.vision, mode: 'wait' });
    expect(await statusOf(ids.vision)).toBe('unloading');
    setup.device.script = says('late');
    const late = chat(setup);
    silent.leave();
    await unload;
    expect((await late).text).toEqual(['late']);
    expect(setup.device.loads).toHaveLength(2);
  });

  it('ends the requests that run, by force', async () => {
    const silent = await startSilent();
    await setup.harness.unload({ model_id: ids.vision, mode: 'force' });
    expect(await silent.ended).toBe('overloaded');
    expect(setup.device.nCancelled).toBe(1);
    expect(setup.device.modelIds).toEqual([]);
  });

  it('by force overtakes one that waits', async () => {
    const silent = await startSilent();
    const patient = setup.harness.unload({ model_id: ids.vision, mode: 'wait' });
    await setup.harness.unload({ model_id: ids.vision, mode: 'force' });
    await patient;
    expect(await silent.ended).toBe('overloaded');
  });

  it('has nothing to do for a model on disk, and knows no other', async () => {
    expect(await codeOf(setup.harness.unload({ model_id: ids.vision }))).toBe('no error');
    expect(await codeOf(setup.harness.unload({ model_id: 'none' }))).toBe('model_not_found');
  });

  it('is refused while the model is being loaded', async () => {
    const open = holdLoads();
    const load = setup.harness.load({ model_id: ids.vision });
    await until(() => setup.device.loads.length > 0);
    expect(await codeOf(setup.harness.unload({ model_id: ids.vision }))).toBe('model_busy');
    const unload = setup.harness.unload({ model_id: ids.vision, mode: 'wait' });
    open();
    await load;
    await unload;
    expect(setup.device.modelIds).toEqual([]);
  });
});

describe('a device that fails', () => {
  it('ends what runs on it, refuses what comes, and is shown', async () => {
    const silent = await startSilent();
    setup.device.poison('GGML_ASSERT(a->ne[0] == b->ne[0]) failed');
    expect(await silent.ended).toBe('device_poisoned');
    expect(await codeOf(chat(setup))).toBe('device_poisoned');
    expect(await modelOf(ids.vision)).toMatchObject({
      servable: { ok: false, reason: expect.stringContaining('GGML_ASSERT') },
    });
    expect(await setup.harness.deviceHealth()).toMatchObject([
      { index: 0, poisoned: true, poisoned_reason: expect.stringContaining('GGML_ASSERT'), vram_free_mb: 0 },
      { index: 1, poisoned: false, poisoned_reason: null },
    ]);
  });

  it('is passed over by loads: its model can be loaded elsewhere', async () => {
    await setup.harness.load({ model_id: ids.vision });
    setup.device.poison('gone');
    await setup.harness.load({ model_id: ids.vision });
    expect(await modelOf(ids.vision)).toMatchObject({ status: 'loaded', devices: [1], servable: { ok: true } });
    setup.devices[1]?.poison('gone too');
    expect(await codeOf(setup.harness.load({ model_id: ids.text }))).toBe('device_poisoned');
  });
});

describe('activity', () => {
  it('counts running and waiting requests, and those refused because the queue was full', async () => {
    await setup[Symbol.asyncDispose]();
    setup = await setUp({ parallel: 1, queue_max: 1 });
    const first = await startSilent();
    const second = await startSilent();
    const third = await chat(setup).catch((error: unknown) => error);
    expect(third).toMatchObject({ code: 'rate_limit_exceeded', retryAfterSecs: expect.any(Number) });
    expect(setup.harness.activity()).toMatchObject([
      { id: ids.vision, in_flight: 1, queue_depth: 1, max_in_flight: 1, rejected: 1, tok_s_decode: 12 },
    ]);
    first.leave();
    second.leave();
    await Promise.all([first.ended, second.ended]);
    expect(setup.harness.activity()).toMatchObject([{ in_flight: 0, queue_depth: 0, rejected: 1 }]);
  });
});

describe('a request that finds no room', () => {
  it('is told to come back once it has waited long enough, and leaves its place in the queue', async () => {
    await setup[Symbol.asyncDispose]();
    setup = await setUp({ parallel: 1, queue_timeout_secs: 0.2 });
    const first = await startSilent();
    const embedding = setup.harness.embed({ model: ids.vision, input: 'x' }, newContext());
    const late = await Promise.all([chat(setup), embedding].map((asked) => asked.catch((error: unknown) => error)));
    for (const error of late) expect(error).toMatchObject({ code: 'overloaded', facts: { model_id: ids.vision } });
    expect(setup.harness.activity()).toMatchObject([{ in_flight: 1, queue_depth: 0 }]);
    first.leave();
    await first.ended;
  });
});

describe('a client that leaves', () => {
  it('stops its generation', async () => {
    const silent = await startSilent();
    silent.leave();
    expect(await silent.ended).toBe('client_closed_request');
    await until(() => setup.device.nCancelled === 1);
  });

  it('stops it also by leaving the stream', async () => {
    setup.device.script = () => Array.from({ length: 400 }, () => 72);
    for await (const event of setup.harness.chat(chatRequest(), newContext())) if (event.kind === 'text') break;
    await setup.harness.unload({ model_id: ids.vision });
    expect(setup.harness.activity()).toEqual([]);
  });
});

describe('closing', () => {
  it('lets requests end within the grace, then stops the rest and the devices', async () => {
    const silent = await startSilent();
    const closing = setup.harness.close(30);
    expect(await codeOf(chat(setup))).toBe('overloaded');
    expect(await silent.ended).toBe('overloaded');
    await closing;
    expect(setup.device.log.at(-1)).toBe('shutdown 0');
  });
});
