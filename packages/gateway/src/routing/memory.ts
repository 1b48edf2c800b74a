/**
 * Whether and where a model fits on a node. A device's free memory is what the last poll saw less what loads in
 * progress were promised, so two loads can never be given the same memory.
 */
import type { ModelProfile } from '@cortex/core';
import type { DeviceView, ModelOnNode, NodeView } from './topology.ts';

/** Devices for one load and the memory it takes on each. */
export interface Fit {
  readonly devices: readonly number[];
  readonly mbPerDevice: number;
}

/** How many devices share a model, and which may. */
export interface Spread {
  readonly nDevices: number;
  /** Null: any. */
  readonly devices: readonly number[] | null;
  readonly deviceMbMin: number;
}

/** As `models.toml` has it; what that leaves at one device, as the node's own operator has it. */
export const spreadOf = (profile: ModelProfile | undefined, entry: ModelOnNode | undefined): Spread => {
  const nDevices = profile?.min_devices ?? 1;
  const deviceMbMin = profile?.min_device_vram_mb ?? 0;
  const placement = nDevices > 1 ? null : (entry?.placement ?? null);
  return placement === null ? { nDevices, devices: null, deviceMbMin } : { ...placement, deviceMbMin };
};

/** Memory of a device that each model on it holds: the node reports a model's total over its devices. */
export const heldMb = (model: ModelOnNode, device: number): number =>
  model.devices.includes(device) ? model.vramUsedMb / model.devices.length : 0;

/** What a load that this gateway did not start (its reservation is unknown) may still take on a device. */
const stillToComeMb = (model: ModelOnNode, device: number): number => {
  if (model.status !== 'loading' || model.operation === 'load') return 0;
  const restMb = Math.max(0, (model.vramNeededMb ?? 0) - model.vramUsedMb);
  if (model.devices.length === 0) return restMb;
  return model.devices.includes(device) ? restMb / model.devices.length : 0;
};

export const freeMb = (node: NodeView, device: DeviceView): number => {
  let free = device.freeMb;
  for (const reservation of node.reservations)
    if (reservation.devices.includes(device.index)) free -= reservation.mbPerDevice;
  for (const model of node.models.values()) free -= stillToComeMb(model, device.index);
  return free;
};

export const residentsOn = (node: NodeView, device: number): number => {
  let residents = 0;
  for (const model of node.models.values())
    if ((model.status === 'loaded' || model.status === 'loading') && model.devices.includes(device)) residents += 1;
  return residents;
};

const usable = (device: DeviceView, { devices, deviceMbMin }: Spread): boolean =>
  !device.poisoned && device.totalMb >= deviceMbMin && (devices === null || devices.includes(device.index));

/** Devices a model may be put on, in groups of one backend: a split model never spans two. Accelerators come first. */
const deviceGroups = (node: NodeView, spread: Spread): readonly (readonly DeviceView[])[] => {
  const groups = new Map<string, DeviceView[]>();
  for (const device of node.devices) {
    if (!usable(device, spread)) continue;
    const group = groups.get(device.backend);
    if (group === undefined) groups.set(device.backend, [device]);
    else group.push(device);
  }
  return [...groups.values()].toSorted((a, b) => Number(a[0]?.backend === 'cpu') - Number(b[0]?.backend === 'cpu'));
};

/**
 * The devices that a model of `needMb` (0 when unknown) fits on: least shared first, then most free memory.
 * @param available free megabytes of a device, after whatever the caller would evict from it
 */
export const fitDevices = (
  node: NodeView,
  spread: Spread,
  needMb: number,
  available: (device: DeviceView) => number,
): Fit | null => {
  const n = spread.nDevices;
  const mbPerDevice = Math.ceil(needMb / n);
  for (const group of deviceGroups(node, spread)) {
    const ranked = group
      .map((device) => ({ device, free: available(device), residents: residentsOn(node, device.index) }))
      .filter(({ free }) => free >= mbPerDevice)
      .toSorted((a, b) => a.residents - b.residents || b.free - a.free || a.device.index - b.device.index);
    if (ranked.length < n) continue;
    return { devices: ranked.slice(0, n).map(({ device }) => device.index), mbPerDevice };
  }
  return null;
};

/** Why an empty node could never hold it; null when it could. */
export const neverFits = (node: NodeView, spread: Spread, needMb: number): string | null => {
  const { nDevices: n, devices, deviceMbMin } = spread;
  if (fitDevices(node, spread, needMb, (device) => device.totalMb) !== null) return null;
  const healthy = node.devices.filter((device) => !device.poisoned);
  if (healthy.length < node.devices.length && healthy.length < n) return `${healthy.length} healthy devices < ${n}`;
  if (node.devices.length < n) return `${node.devices.length} devices < ${n}`;
  const floorMb = Math.max(deviceMbMin, Math.ceil(needMb / n));
  const among = devices === null ? '' : ` among ${devices.join(', ')}`;
  return n === 1 ? `no device${among} with ${floorMb} MB` : `not ${n} alike devices${among} with ${floorMb} MB each`;
};
