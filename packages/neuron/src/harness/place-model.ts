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
  /** The devices allowed; null: any. */
  readonly deviceIndices: readonly number[] | null;
}

const mb = 1024 * 1024;

const outOfService = (modelId: string, devices: readonly DeviceRoom[], what: string): CortexError => {
  const reasons = devices.map(({ index, poisonedReason }) => `device ${index}: ${poisonedReason ?? 'in service'}`);
  return new CortexError('device_poisoned', `${what} (${reasons.join('; ')})`, { facts: { model_id: modelId } });
};

const judged = (indices: readonly number[] | null, devices: readonly DeviceRoom[]) => {
  const allowed = devices.filter(({ index }) => indices === null || indices.includes(index));
  return { allowed, working: allowed.filter(({ poisonedReason }) => poisonedReason === null) };
};

/**
 * All working devices of those allowed, for each to have layers of a model.
 * @throws CortexError `device_poisoned` when none works.
 */
export const placeLayers = (
  { modelId, deviceIndices }: Pick<Need, 'modelId' | 'deviceIndices'>,
  devices: readonly DeviceRoom[],
): readonly DeviceRoom[] => {
  const { allowed, working } = judged(deviceIndices, devices);
  if (working.length === 0) throw outOfService(modelId, allowed, 'no device here is in service');
  return working;
};

export interface SharedNeed {
  readonly modelId: string;
  /** The devices to share it; null: any. */
  readonly deviceIndices: readonly number[] | null;
  readonly nDevices: number;
}

/**
 * The devices that share a model, in the order of their indices: those named, or those with the most free memory.
 * @throws CortexError `device_poisoned` when too few work.
 */
export const placeShared = (
  { modelId, deviceIndices, nDevices }: SharedNeed,
  devices: readonly DeviceRoom[],
): readonly number[] => {
  const { allowed, working } = judged(deviceIndices, devices);
  if (working.length < nDevices) throw outOfService(modelId, allowed, `fewer than ${nDevices} devices are in service`);
  const best = working.toSorted((a, b) => b.freeBytes - a.freeBytes).slice(0, nDevices);
  return best.map(({ index }) => index).toSorted((a, b) => a - b);
};

/**
 * The working device with the most free memory, the first of equals.
 * @throws CortexError `device_poisoned` when none works, `insufficient_vram` when the need exceeds its memory.
 */
export const placeModel = (need: Need, devices: readonly DeviceRoom[]): number => {
  const { allowed, working } = judged(need.deviceIndices, devices);
  const [best] = working.toSorted((a, b) => b.freeBytes - a.freeBytes);
  if (best === undefined) throw outOfService(need.modelId, allowed, 'no device here is in service');
  if (best.freeBytes >= need.bytes) return best.index;
  const [neededMb, freeMb] = [Math.ceil(need.bytes / mb), Math.floor(best.freeBytes / mb)];
  throw new CortexError(
    'insufficient_vram',
    `${need.modelId} needs ${neededMb} MB (${need.parts}); device ${best.index} has ${freeMb} MB free`,
    { facts: { model_id: need.modelId, needed_mb: neededMb, free_mb: freeMb } },
  );
};
