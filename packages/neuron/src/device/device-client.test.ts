import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readdirSync, readFileSync } from 'node:fs';
import type { CortexError } from '@cortex/core';
import { fakeGenerateSpec, fakeImage, fakeLoadSpec } from '../../test/fake-device-host.ts';
import { DeviceClient } from './device-client.ts';
import { DeviceGuard } from './device-guard.ts';
import type { GenerateEvent } from './protocol.ts';

const hostUrl = new URL('../../test/fake-device-host.ts', import.meta.url);
const quiet = (): AbortSignal => new AbortController().signal;
/** Those of the test that runs. */
const devices: DeviceClient[] = [];

const openFake = async (index = 0, stepMsMax = 60_000, members: readonly number[] = [index]): Promise<DeviceClient> => {
  const device = await DeviceClient.open({
    info: { index, name: 'fake', backend: 'cpu', vram_total_mb: 1 },
    members,
    hostUrl,
    host: { index, threads: 1 },
    guard: new DeviceGuard(stepMsMax),
  });
  devices.push(device);
  return device;
};

const collect = async (events: AsyncIterable<GenerateEvent>): Promise<GenerateEvent[]> => {
  const all: GenerateEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
};

const idsOf = (events: readonly GenerateEvent[]): number[] =>
  events.flatMap((event) => (event.kind === 'token' ? [event.token.id] : []));

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};

afterEach(async () => {
  await Promise.all(devices.splice(0).map((device) => device.shutdown(0)));
});

describe('DeviceClient', () => {
  let device: DeviceClient;

  beforeAll(async () => {
    device = await openFake(7);
    devices.length = 0;
  });

  afterAll(() => device.shutdown(0));

  it('loads, generates, and answers jobs by hand over the thread', async () => {
    const phases: string[] = [];
    const facts = await device.load(fakeLoadSpec('m'), ({ phase }) => phases.push(phase));
    expect(facts).toMatchObject({ contextMax: 64, nSlots: 4, hasVision: true });
    expect(phases).toEqual(['weights']);

    const events = await collect(device.generate(fakeGenerateSpec('m', [1, 2, 3]), quiet()).events);
    expect(idsOf(events)).toEqual([4, 5, 6, 7]);
    expect(events.at(-1)).toMatchObject({ kind: 'done', nPromptTokens: 3, nGenerated: 4 });

    expect(await device.run({ kind: 'memory' })).toEqual({ freeBytes: 500, totalBytes: 1000 });
    expect(await device.run({ kind: 'encode_image', modelId: 'm', image: fakeImage('a') })).toHaveLength(4);
    const manual = { modelId: 'm', sequence: 's' } as const;
    const rows = await device.run({
      ...manual,
      kind: 'prefill',
      nTokensMax: 32,
      ids: Int32Array.from({ length: 20 }, (_, i) => i),
      offset: 0,
      vision: null,
      output: 'all',
    });
    expect(rows.length % 20).toBe(0);
    const nLogits = rows.length / 20;
    expect(rows.subarray(19 * nLogits).indexOf(10)).toBe(20);
    expect((await device.run({ ...manual, kind: 'decode', id: 40 })).indexOf(10)).toBe(41);
    await device.run({ ...manual, kind: 'reset' });
    await expect(device.run({ ...manual, kind: 'decode', id: 1 })).rejects.toMatchObject({ code: 'invalid_request' });
    await device.run({ kind: 'unload', modelId: 'm' });
    await expect(device.run({ kind: 'unload', modelId: 'm' })).rejects.toMatchObject({ code: 'model_not_found' });
  });

  it.runIf(process.platform === 'linux')('names its thread', () => {
    const names = readdirSync('/proc/self/task').map((id) => readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim());
    expect(names).toContain('cpu-dev-7');
  });

  it('reports a device that does not open', async () => {
    await expect(openFake(-1)).rejects.toMatchObject({ message: 'there is no such device' });
  });

  it('frees the slot of a client that leaves, within one step', async () => {
    await device.load(fakeLoadSpec('m', { nSlots: 1, stepMs: 5, after: { 9: 9 } }), () => {});
    const controller = new AbortController();
    const endless = fakeGenerateSpec('m', [9], { tokensMax: 60 });
    const { events } = device.generate(endless, controller.signal);
    const iterator = events[Symbol.asyncIterator]();
    for (let next = await iterator.next(); next.value?.kind !== 'token';) next = await iterator.next();
    expect(device.activity('m')).toMatchObject({ in_flight: 1, queue_depth: 0 });

    controller.abort(new Error('left'));
    const rest = collect({ [Symbol.asyncIterator]: () => iterator });
    await expect(rest).rejects.toThrow('left');
    expect(idsOf(await collect(device.generate(fakeGenerateSpec('m', [1]), quiet()).events))).toEqual([2, 3, 4, 5]);

    for await (const event of device.generate(endless, quiet()).events) if (event.kind === 'token') break;
    await until(() => device.activity('m').in_flight === 0);
    expect(device.activity('m').tok_s_decode).toBeGreaterThan(0);
    expect(device.activity('m').tok_s_prefill).toBeGreaterThan(0);
  });

  it('refuses a signal that has fired, and unknown models', async () => {
    const gone = device.generate(fakeGenerateSpec('none', [1]), AbortSignal.abort(new Error('gone')));
    await expect(collect(gone.events)).rejects.toThrow('gone');
    const unknown = device.generate(fakeGenerateSpec('none', [1]), quiet());
    await expect(collect(unknown.events)).rejects.toMatchObject({ code: 'model_not_found' });
  });

  it('is poisoned when its thread ends, and ends all that waits', async () => {
    const doomed = await openFake();
    await doomed.load(fakeLoadSpec('m', { failures: { 9: 'exit' } }), () => {});
    const running = collect(doomed.generate(fakeGenerateSpec('m', [9]), quiet()).events);
    await expect(running).rejects.toMatchObject({ code: 'device_poisoned' });
    expect(doomed.poisonedReason).toMatch('exit code 3');
  });

  it.each([
    ['cpu-dev-0', [0]],
    ['cpu-dev-0+1', [0, 1]],
  ])('is poisoned as %s when a step does not return, while another device serves on', async (name, members) => {
    const [hung, well] = await Promise.all([openFake(0, 1500, members), openFake(1)]);
    await Promise.all(
      [hung, well].map((either) => either.load(fakeLoadSpec('m', { failures: { 9: 'hang' } }), () => {})),
    );
    const running = collect(hung.generate(fakeGenerateSpec('m', [9]), quiet()).events);
    // Only once the step hangs: a job sent before it would be answered before it.
    await until(() => hung.heartbeat.read().activity === 'step');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const queued = hung.run({ kind: 'encode_image', modelId: 'm', image: fakeImage('a') });
    const failure = { code: 'device_poisoned', facts: { device: name } };
    await expect(Promise.allSettled([running, queued])).resolves.toMatchObject([
      { reason: failure },
      { reason: failure },
    ]);
    const startMs = performance.now();
    await expect(hung.run({ kind: 'memory' })).rejects.toMatchObject(failure);
    await hung.shutdown(5000);
    expect(performance.now() - startMs).toBeLessThan(1000);
    expect(hung.poisonedReason).toMatch(/a step has not returned for \d\.\d s/);
    expect(idsOf(await collect(well.generate(fakeGenerateSpec('m', [1]), quiet()).events))).toEqual([2, 3, 4, 5]);
  });
});

describe('shutdown', () => {
  it('lets running work end, and takes no more', async () => {
    const device = await openFake();
    await device.load(fakeLoadSpec('m', { stepMs: 5 }), () => {});
    const running = collect(device.generate(fakeGenerateSpec('m', [1]), quiet()).events);
    const ended = device.shutdown(5000);
    await expect(device.run({ kind: 'memory' })).rejects.toMatchObject({ code: 'overloaded' });
    expect(idsOf(await running)).toEqual([2, 3, 4, 5]);
    await ended;
  });

  it('gives up what outlasts its grace', async () => {
    const device = await openFake();
    await device.load(fakeLoadSpec('m', { stepMs: 50, after: { 9: 9 } }), () => {});
    const running = collect(device.generate(fakeGenerateSpec('m', [9], { tokensMax: 60 }), quiet()).events);
    const failed = running.then(
      () => null,
      (error: CortexError) => error.code,
    );
    const startMs = performance.now();
    await device.shutdown(50);
    expect(performance.now() - startMs).toBeLessThan(2500);
    expect(await failed).toBe('overloaded');
    expect(device.poisonedReason).toBeNull();
  });
});
