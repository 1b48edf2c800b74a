/**
 * What ggml finds on this machine, for whoever asks why a GPU is not used. It loads the native libraries into the
 * calling process: ask in a process of its own, which a broken driver may take down.
 */
import { ggmlVersion, installedPackages, openLibrary, packageNames, packageVersion } from '@cortex/ggml';
import { chooseDevices } from './choose-devices.ts';

export interface EnginePackages {
  /** Packages of prebuilt libraries for this platform as npm takes them, `NAME@VERSION`, the most capable first. */
  readonly available: readonly string[];
  /** Names of those that are installed, in the same order; the first is used. */
  readonly installed: readonly string[];
}

export interface EngineProbe {
  readonly packageName: string;
  readonly ggmlVersion: string;
  /** `CPU`, `CUDA`, `Vulkan`, … */
  readonly backends: readonly string[];
  readonly devices: readonly {
    readonly name: string;
    /** Lower case. */
    readonly backend: string;
    readonly memoryTotalMb: number;
    readonly memoryFreeMb: number;
    /** Whether a neuron here would compute on it. */
    readonly served: boolean;
  }[];
}

const mb = 1024 * 1024;

/** Loads nothing. */
export const enginePackages = (): EnginePackages => ({
  available: packageNames(process.platform, process.arch).map((name) => `${name}@${packageVersion}`),
  installed: installedPackages(),
});

/** @throws LibraryError naming the package to install. */
export const probeEngine = (): EngineProbe => {
  const library = openLibrary();
  const served = new Set(chooseDevices(library.devices).map(({ registryIndex }) => registryIndex));
  return {
    packageName: library.packageName,
    ggmlVersion,
    backends: library.backends,
    devices: library.devices.map((device) => {
      const memory = device.memory();
      return {
        name: device.description.trim(),
        backend: device.backend,
        memoryTotalMb: Math.round(memory.totalBytes / mb),
        memoryFreeMb: Math.round(memory.freeBytes / mb),
        served: served.has(device.index),
      };
    }),
  };
};
