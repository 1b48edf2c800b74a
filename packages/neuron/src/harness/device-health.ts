/** A device's memory and whether it works, as `/health` shows them. */
import type { DeviceHealth } from '@cortex/core';
import type { Device } from '../device/contract.ts';

const mb = 1024 * 1024;

const healthOf = (device: Device, totalBytes: number, freeBytes: number): DeviceHealth => ({
  index: device.info.index,
  vram_used_mb: Math.round((totalBytes - freeBytes) / mb),
  vram_free_mb: Math.round(freeBytes / mb),
  poisoned: device.poisonedReason !== null,
  poisoned_reason: device.poisonedReason,
});

/** A poisoned device has no memory that anybody could use. @throws what a working device throws. */
export const deviceHealthOf = async (device: Device): Promise<DeviceHealth> => {
  const allBytes = device.info.vram_total_mb * mb;
  if (device.poisonedReason !== null) return healthOf(device, allBytes, 0);
  try {
    const { totalBytes, freeBytes } = await device.run({ kind: 'memory' });
    return healthOf(device, totalBytes, freeBytes);
  } catch (error) {
    if (device.poisonedReason === null) throw error;
    return healthOf(device, allBytes, 0);
  }
};
