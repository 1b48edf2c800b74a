/** A device's memory and whether it works, as `/health` shows them. */
import type { DeviceHealth, GgmlConfig } from '@cortex/core';
import type { Device } from '../device/contract.ts';
import type { DeviceMemory } from '../model/device-model.ts';
import { freeWithin, limitBytes } from './held-memory.ts';

const mb = 1024 * 1024;

const healthOf = (device: Device, { totalBytes, freeBytes, held }: DeviceMemory): DeviceHealth => ({
  index: device.info.index,
  vram_used_mb: Math.round((totalBytes - freeBytes) / mb),
  vram_free_mb: Math.round(freeBytes / mb),
  poisoned: device.poisonedReason !== null,
  poisoned_reason: device.poisonedReason,
  ...(held === undefined ? {} : { native_bytes: held.nBytes, native_handles: held.nHandles }),
});

/**
 * A poisoned device has no memory that anybody could use. @throws what a working device throws.
 * @param nBytesHeld by models; what the operator leaves to others counts as not there
 */
export const deviceHealthOf = async (device: Device, config: GgmlConfig, nBytesHeld: number): Promise<DeviceHealth> => {
  const unusable = { totalBytes: device.info.vram_total_mb * mb, freeBytes: 0 };
  if (device.poisonedReason !== null) return healthOf(device, unusable);
  try {
    const { totalBytes, freeBytes, ...rest } = await device.run({ kind: 'memory' });
    return healthOf(device, {
      ...rest,
      totalBytes: Math.min(totalBytes, limitBytes(config)),
      freeBytes: freeWithin(config, freeBytes, nBytesHeld),
    });
  } catch (error) {
    if (device.poisonedReason === null) throw error;
    return healthOf(device, unusable);
  }
};
