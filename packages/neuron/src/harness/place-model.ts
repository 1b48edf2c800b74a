/** Which device takes a model: a pure decision over their free memory. */
import { CortexError } from '@cortex/core';

export interface DeviceRoom {
  readonly index: number;
  readonly freeBytes: number;
  readonly poisonedReason: string | null;
}

export interface Need {
  readonly modelId: string;
  /** What it takes on the device at least. */
  readonly bytes: number;
  /** What for, such as `weights 1000, KV cache 16`. */
  readonly parts: string;
  /** The only device allowed; null: any. */
  readonly deviceIndex: number | null;
}

const mb = 1024 * 1024;

/**
 * The working device with the most free memory, the first of equals.
 * @throws CortexError `device_poisoned` when none works, `insufficient_vram` when the need exceeds its memory.
 */
export const placeModel = (need: Need, devices: readonly DeviceRoom[]): number => {
  const allowed = devices.filter(({ index }) => need.deviceIndex === null || index === need.deviceIndex);
  const working = allowed.filter(({ poisonedReason }) => poisonedReason === null);
  const [best] = working.toSorted((a, b) => b.freeBytes - a.freeBytes);
  if (best === undefined) {
    const reasons = allowed.map(({ index, poisonedReason }) => `device ${index}: ${poisonedReason ?? 'unknown'}`);
    throw new CortexError('device_poisoned', `no device here is in service (${reasons.join('; ')})`, {
      facts: { model_id: need.modelId },
    });
  }
  if (best.freeBytes >= need.bytes) return best.index;
  const [neededMb, freeMb] = [Math.ceil(need.bytes / mb), Math.floor(best.freeBytes / mb)];
  throw new CortexError(
    'insufficient_vram',
    `${need.modelId} needs ${neededMb} MB (${need.parts}); device ${best.index} has ${freeMb} MB free`,
    { facts: { model_id: need.modelId, needed_mb: neededMb, free_mb: freeMb } },
  );
};
