/**
 * Which of the driver's GPUs a device of the engine is. The two count in different orders (`CUDA_VISIBLE_DEVICES`,
 * fastest first), so an index alone says nothing.
 */
import type { DeviceHealth, DeviceInfo } from '@cortex/core';
import { normalPciId, type GpuReading } from './nvidia-smi.ts';

/** By PCI id where the engine tells it (`pci_id`), else by name, in order; a device without a match is left out. */
export const matchGpus = (
  devices: readonly DeviceInfo[],
  gpus: readonly GpuReading[],
): ReadonlyMap<number, GpuReading> => {
  const matches = new Map<number, GpuReading>();
  const free = new Set(gpus);
  const take = (device: DeviceInfo, gpu: GpuReading | undefined): void => {
    if (gpu === undefined) return;
    matches.set(device.index, gpu);
    free.delete(gpu);
  };
  const nvidia = devices.filter((device) => device.backend !== 'cpu');
  for (const device of nvidia) {
    const pciId = device['pci_id'];
    if (typeof pciId === 'string')
      take(
        device,
        gpus.find((gpu) => gpu.pciId === normalPciId(pciId)),
      );
  }
  for (const device of nvidia) {
    if (matches.has(device.index)) continue;
    take(
      device,
      [...free].find((gpu) => device.name.includes(gpu.name)),
    );
  }
  return matches;
};

/** The engine's own numbers stand; what it cannot know is taken from the driver. */
export const withGpuReadings = (
  health: readonly DeviceHealth[],
  matches: ReadonlyMap<number, GpuReading>,
): readonly DeviceHealth[] =>
  health.map((device) => {
    const gpu = matches.get(device.index);
    if (gpu === undefined) return device;
    return {
      ...device,
      utilization_pct: device.utilization_pct ?? gpu.utilizationPct,
      temp_c: device.temp_c ?? gpu.tempC,
    };
  });
