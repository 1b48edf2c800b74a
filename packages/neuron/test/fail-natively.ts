/**
 * A program for tests: three devices in one process, of which two really fail an assert in ggml, one after the other.
 * Prints what became of each as a line of JSON; ends with exit code 7.
 */
import { CortexError } from '@cortex/core';
import { DeviceClient } from '../src/device/device-client.ts';
import { DeviceGuard } from '../src/device/device-guard.ts';
import type { GenerateEvent } from '../src/device/protocol.ts';
import { endProcess } from '../src/harness/end-process.ts';
import { fakeGenerateSpec, fakeImage, fakeLoadSpec } from './fake-device-host.ts';

const failingId = 9;
const endlessId = 20;
const { signal } = new AbortController();
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const guard = await DeviceGuard.start(60_000);
const open = async (index: number): Promise<DeviceClient> => {
  const device = await DeviceClient.open({
    info: { index, name: 'fake', backend: 'cpu', vram_total_mb: 1 },
    hostUrl: new URL('./assert-device-host.ts', import.meta.url),
    host: { index, threads: 1 },
    guard,
  });
  const plan = { stepMs: 2, contextMax: 10_000, kvTokens: 20_000, failures: { [failingId]: 'assert' } } as const;
  await device.load(fakeLoadSpec('m', { ...plan, after: { [endlessId]: endlessId } }), () => {});
  return device;
};

const generate = async (device: DeviceClient, lastId: number, tokensMax: number): Promise<GenerateEvent[]> => {
  const events: GenerateEvent[] = [];
  const spec = fakeGenerateSpec('m', [1, lastId], { tokensMax });
  for await (const event of device.generate(spec, signal).events) events.push(event);
  return events;
};

/** The code that ends it, or `ok`. */
const outcome = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'ok',
    (error: unknown) => CortexError.from(error).code,
  );

const fail = async (device: DeviceClient): Promise<object> => {
  const running = outcome(generate(device, failingId, 4));
  const queued = [outcome(generate(device, 1, 4)), outcome(generate(device, 1, 4))];
  const first = await running;
  const startMs = performance.now();
  const later = [
    outcome(generate(device, 1, 4)),
    outcome(device.run({ kind: 'encode_image', modelId: 'm', image: fakeImage('a') })),
    outcome(device.shutdown(10_000)),
  ];
  const codes = { running: first, queued: await Promise.all(queued), later: await Promise.all(later) };
  return { ...codes, laterMs: performance.now() - startMs, reason: device.poisonedReason };
};

const [one, two, well] = [await open(0), await open(1), await open(2)];
// Busy throughout: the failure must not be laid at its door.
const stream = generate(well, endlessId, 2000);
const first = await fail(one);
// The next listener takes over meanwhile.
await pause(4000);
const second = await fail(two);
const events = await stream;
const wellAfter = { nTokens: events.filter(({ kind }) => kind === 'token').length, reason: well.poisonedReason };
console.log(JSON.stringify({ first, second, well: wellAfter }));
endProcess(7);
