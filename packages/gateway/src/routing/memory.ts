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
  /** Each has layers of its own, and the host's memory the rest. */
  readonly isByLayers: boolean;
}

/** How many devices share a model, and which may. */
export interface Spread {
  readonly nDevices: number;
  /** Null: any. */
  readonly devices: readonly number[] | null;
  readonly deviceMbMin: number;
  /** Memory of the host for layers of a model that no device there holds, in use or not; null: that is not done. */
  readonly hostMb: number | null;
}

/** As `models.toml` has it; what that leaves at one device, as the node's own operator has it. */
export const spreadOf = (profile: ModelProfile | undefined, entry: ModelOnNode | undefined): Spread => {
  const nDevices = profile?.min_devices ?? 1;
  const deviceMbMin = profile?.min_device_vram_mb ?? 0;
  const placement = nDevices > 1 ? null : (entry?.placement ?? null);
  const shared = placement ?? { nDevices, devices: null };
  return { ...shared, deviceMbMin, hostMb: shared.nDevices > 1 ? null : (entry?.offloadHostMb ?? null) };
};

/** Memory of a device (null: of the host) that a model holds: of one that devices share the node reports their total. */
export const heldMb = (model: ModelOnNode, device: number | null): number => {
  if (model.layers.length > 0)
    return model.layers.reduce((sum, part) => (part.device === device ? sum + part.mb : sum), 0);
  return device !== null && model.devices.includes(device) ? model.vramUsedMb / model.devices.length : 0;
};

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

/** What is free where a model or its layers may go: on a device, or, null, in the host's memory. */
export const freeFor =
  (node: NodeView, { hostMb }: Spread) =>
  (device: DeviceView | null): number => {
    if (device !== null) return freeMb(node, device);
    let free = hostMb ?? 0;
    for (const model of node.models.values()) free -= heldMb(model, null);
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

/** All of them with what they have, and the host with the rest. The node decides which layers go where. */
const fitLayers = (
  devices: readonly DeviceView[],
  needMb: number,
  available: (device: DeviceView | null) => number,
): Fit | null => {
  const free = devices.map(available);
  const least = Math.min(...free);
  const togetherMb = free.reduce((sum, mb) => sum + Math.max(0, mb), Math.max(0, available(null)));
  if (least === -Infinity || togetherMb < needMb) return null;
  const mbPerDevice = Math.max(0, Math.min(least, Math.ceil(needMb / devices.length)));
  return { devices: devices.map(({ index }) => index), mbPerDevice, isByLayers: true };
};

/**
 * The devices that a model of `needMb` (0 when unknown) fits on: least shared first, then most free memory. Where the node
 * says that no device holds it, those that may have layers of it.
 * @param available free megabytes of a device, or, null, of the host, after whatever the caller would evict from it
 */
export const fitDevices = (
  node: NodeView,
  spread: Spread,
  needMb: number,
  available: (device: DeviceView | null) => number,
): Fit | null => {
  const n = spread.nDevices;
  const mbPerDevice = Math.ceil(needMb / n);
  const groups = deviceGroups(node, spread);
  if (spread.hostMb !== null) return groups[0] === undefined ? null : fitLayers(groups[0], needMb, available);
  for (const group of groups) {
    const ranked = group
      .map((device) => ({ device, free: available(device), residents: residentsOn(node, device.index) }))
      .filter(({ free }) => free >= mbPerDevice)
      .toSorted((a, b) => a.residents - b.residents || b.free - a.free || a.device.index - b.device.index);
    if (ranked.length < n) continue;
    return { devices: ranked.slice(0, n).map(({ device }) => device.index), mbPerDevice, isByLayers: false };
  }
  return null;
};

/** Why an empty node could never hold it; null when it could. */
export const neverFits = (node: NodeView, spread: Spread, needMb: number): string | null => {
  const { nDevices: n, devices, deviceMbMin } = spread;
  if (fitDevices(node, spread, needMb, (device) => device?.totalMb ?? spread.hostMb ?? 0) !== null) return null;
  const healthy = node.devices.filter((device) => !device.poisoned);
  if (healthy.length < node.devices.length && healthy.length < n) return `${healthy.length} healthy devices < ${n}`;
  if (node.devices.length < n) return `${node.devices.length} devices < ${n}`;
  const floorMb = Math.max(deviceMbMin, Math.ceil(needMb / n));
  const among = devices === null ? '' : ` among ${devices.join(', ')}`;
  return n === 1 ? `no device${among} with ${floorMb} MB` : `not ${n} alike devices${among} with ${floorMb} MB each`;
};
