/** The engine of this build: ggml's libraries opened, a thread for each device served, a harness over them. */
import { giveBackFreed, keepLittleFreed, openLibrary } from '@cortex/ggml';
import { CortexError } from '@cortex/core';
import { supportedModelTypes } from '../arch/registry.ts';
import { DeviceClient } from '../device/device-client.ts';
import { DeviceGuard } from '../device/device-guard.ts';
import type { EngineFactory, EngineParts } from '../main.ts';
import { waitingMax } from './admission.ts';
import { chooseDevices, type ServedDevice } from './choose-devices.ts';
import { defaultThreads } from './compute-threads.ts';
import type { OpenGroup, Sharing } from './device-groups.ts';
import { GgmlHarness } from './ggml-harness.ts';
import { MemoryReturn } from './memory-return.ts';
import { enginePackages } from './probe-engine.ts';
import { SizingThread } from './sizing-thread.ts';

const hostUrl = new URL('../model/device-host.ts', import.meta.url);

/** 64 prompts of 16 choices. */
const sequencesPerRequestMax = 1024;

/** Several share every model that is loaded on them, by layers with the host. */
const openDevice = (
  [{ info, registryIndex }, ...others]: readonly [ServedDevice, ...ServedDevice[]],
  guard: DeviceGuard,
  { config, log }: EngineParts,
  sharing: Sharing = 'tensors',
): Promise<DeviceClient> => {
  const infos = [info, ...others.map((other) => other.info)];
  const members = infos.map(({ index }) => index);
  const name = [...infos.map((each) => each.name), ...(sharing === 'layers' ? ['host'] : [])].join(' + ');
  return DeviceClient.open({
    info: { ...info, name, vram_total_mb: infos.reduce((sum, each) => sum + each.vram_total_mb, 0) },
    members,
    hostUrl,
    host: {
      index: registryIndex,
      others: others.map((other) => other.registryIndex),
      sharing,
      threads: config.threads ?? defaultThreads(),
    },
    guard,
    // Each model's own queue is the limit that counts, and it counts requests.
    waitingMax: (waitingMax(config.queue_max) + config.parallel) * sequencesPerRequestMax,
    onPoisoned: (reason) => log.error({ device: members.join('+'), name, reason }, 'device out of service'),
  });
};

const openGroup =
  (served: readonly ServedDevice[], guard: DeviceGuard, parts: EngineParts): OpenGroup =>
  (indices, sharing) => {
    const [first, ...others] = indices.flatMap((index) => served.filter(({ info }) => info.index === index));
    if (first === undefined) throw new Error(`no devices ${indices.join(', ')} to make a group of`);
    return openDevice([first, ...others], guard, parts, sharing);
  };

/** Those that open; one that does not leaves the others. @throws what the first said when none opens. */
const openDevices = async (
  served: readonly ServedDevice[],
  guard: DeviceGuard,
  parts: EngineParts,
): Promise<DeviceClient[]> => {
  const devices: DeviceClient[] = [];
  const failures: unknown[] = [];
  for (const device of served) {
    try {
      devices.push(await openDevice([device], guard, parts));
    } catch (error) {
      failures.push(error);
      const { message } = CortexError.from(error);
      parts.log.error({ device: device.info.index, name: device.info.name, reason: message }, 'device did not open');
    }
  }
  if (devices.length === 0) throw failures[0];
  return devices;
};

/** @throws LibraryError naming the package to install; CortexError when no device opens. */
export const createGgmlEngine: EngineFactory = async (parts) => {
  const { config, env, defaultModels, store, log } = parts;
  keepLittleFreed(env);
  const library = openLibrary();
  const served = chooseDevices(library.devices, config.device_memory_max_mb);
  const [first] = served;
  if (first === undefined) throw new CortexError('internal_error', 'ggml finds no device here');
  const guard = await DeviceGuard.start(config.step_timeout_secs * 1000);
  const devices = await openDevices(served, guard, parts);
  const measurer = new SizingThread(first, devices.length, config);
  const groups = openGroup(served, guard, parts);
  const memory = new MemoryReturn(giveBackFreed);
  const harness = new GgmlHarness({
    devices,
    openGroup: groups,
    config,
    defaultModels,
    store,
    supportedModelTypes,
    measurer,
    onFiner: (model, quant, weights) =>
      log.info(
        { model, quant, weights },
        'weights of finer types: their rows are no whole blocks of the type asked for',
      ),
    onSpread: (model, layers) => log.info({ model, layers }, 'layers over several devices'),
    onMoved: () => memory.soon(),
  });
  // Whoever lists the models first finds them measured.
  void harness.models().catch(() => {});
  return {
    harness,
    ggml: { version: library.version, commit: library.commit },
    backends: library.backends,
    packages: enginePackages(),
  };
};
