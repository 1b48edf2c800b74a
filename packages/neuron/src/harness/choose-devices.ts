/** Which of ggml's devices are served: a pure choice. Never a GPU and the CPU, on which everything would only be slower. */
import type { DeviceInfo } from '@cortex/core';

/** What is read of a device of ggml's registry. */
export interface RegisteredDevice {
  /** Position in the registry. */
  readonly index: number;
  /** The maker's name. */
  readonly description: string;
  /** `cpu`, `gpu`, `igpu` (it shares the host's memory), `accel`, `meta`. */
  readonly type: string;
  readonly backend: string;
  /** Null where the backend does not tell. */
  readonly pciId: string | null;
  memory(): { readonly totalBytes: number };
}

export interface ServedDevice {
  readonly info: DeviceInfo;
  /** Position in the registry. */
  readonly registryIndex: number;
}

const preference = ['gpu', 'igpu', 'cpu'] as const;

const mb = 1024 * 1024;

/**
 * All of the best kind there is, numbered from 0 in the registry's order; empty when there is none to compute on.
 * @param memoryMaxMb what models may have of each; the rest counts as not there
 */
export const chooseDevices = (
  devices: readonly RegisteredDevice[],
  memoryMaxMb = Infinity,
): readonly ServedDevice[] => {
  const best = preference.find((type) => devices.some((device) => device.type === type));
  const served = devices.filter(({ type }) => type === best);
  return served.map((device, index) => ({
    info: {
      index,
      name: device.description.trim(),
      backend: device.backend,
      vram_total_mb: Math.min(memoryMaxMb, Math.round(device.memory().totalBytes / mb)),
      ...(device.pciId !== null && { pci_id: device.pciId }),
    },
    registryIndex: device.index,
  }));
};
