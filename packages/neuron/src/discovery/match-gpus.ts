/**
 * Which of the driver's GPUs a device of the engine is. The two count in different orders (`CUDA_VISIBLE_DEVICES`,
 * fastest first), so an index alone says nothing.
 */
import type { DeviceHealth, DeviceInfo } from '@cortex/core';
import { normalPciId, type GpuReading } from './nvidia-smi.ts';
import type { CardReading } from './pci-cards.ts';

/** By PCI address where the engine tells it, else by name, in order; a device without a match is left out. */
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
    const { pci_id: pciId } = device;
    if (typeof pciId !== 'string') continue;
    const own = gpus.find((gpu) => gpu.pciId === normalPciId(pciId));
    take(device, own);
  }
  for (const device of nvidia) {
    // One that is known not to be the driver's must not get another's numbers.
    if (matches.has(device.index) || typeof device.pci_id === 'string') continue;
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

/** The same from what other makers' drivers tell the kernel, for devices whose PCI address is known. */
export const withCardReadings = (
  health: readonly DeviceHealth[],
  devices: readonly DeviceInfo[],
  read: (pciId: string) => Promise<CardReading>,
): Promise<readonly DeviceHealth[]> =>
  Promise.all(
    health.map(async (one) => {
      const { pci_id: pciId } = devices.find(({ index }) => index === one.index) ?? {};
      if (typeof pciId !== 'string') return one;
      const { utilizationPct, tempC } = await read(normalPciId(pciId));
      return {
        ...one,
        ...(utilizationPct !== null && { utilization_pct: utilizationPct }),
        ...(tempC !== null && { temp_c: tempC }),
      };
    }),
  );
