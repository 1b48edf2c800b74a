/** Everything a directory of reference numbers holds, replayed on one device. */
import { availableParallelism } from 'node:os';
import { openLibrary } from '@cortex/ggml';
import { DeviceClient } from '../device/device-client.ts';
import { DeviceGuard } from '../device/device-guard.ts';
import { chooseDevices } from '../harness/choose-devices.ts';
import { referenceModels } from './reference.ts';
import type { Verdict } from './verdict.ts';
import { verifyFiles } from './verify-files.ts';
import { verifyModel } from './verify-model.ts';

const stepMsMax = 300_000;

/** @throws Error when there is no device, or the directory is not of the form. */
export async function* verify(root: string, threads = availableParallelism()): AsyncGenerator<Verdict> {
  const models = await referenceModels(root);
  yield* verifyFiles(root);
  const [served] = chooseDevices(openLibrary().devices);
  if (served === undefined) throw new Error('ggml finds no device here');
  const device = await DeviceClient.open({
    info: served.info,
    hostUrl: new URL('../model/device-host.ts', import.meta.url),
    host: { index: served.registryIndex, threads },
    guard: await DeviceGuard.start(stepMsMax),
  });
  try {
    for (const model of models) yield* verifyModel(root, model, device);
  } finally {
    await device.shutdown(0);
  }
}
