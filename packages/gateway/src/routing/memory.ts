/**
 * Whether and where a model fits on a node. A device's free memory is what the last poll saw less what loads in
 * progress were promised, so two loads can never be given the same memory.
 */
import { sharedMb, type BrokenGroup, type ModelProfile, type Sharing } from '@cortex/core';
import { dealSharing, evenParts, undividable } from './device-sharing.ts';
import type { DeviceView, ModelOnNode, NodeView } from './topology.ts';

/** Devices for one load and the memory it takes on each. */
export interface Fit {
  readonly devices: readonly number[];
  /** Of each of them. */
  readonly mb: readonly number[];
  /** Should more be free by then, the node deals it out more alike: of each at most this. */
  readonly mostMb: readonly number[];
  /** Each has layers of its own, and the host's memory the rest. */
  readonly isByLayers: boolean;
}

/** How many devices share a model, and which may. */
export interface Spread {
  readonly nDevices: number;
  /** Null: any. */
  readonly devices: readonly number[] | null;
  readonly deviceMbMin: number;
  /** What those take that share it; null where the node does not say. */
  readonly sharing: Sharing | null;
  /** Memory of the host for layers of a model that no device there holds, in use or not; null: that is not done. */
  readonly hostMb: number | null;
}

/** The node may load it, or may if it is told that layers can be spread. */
export const isServable = (profile: ModelProfile | undefined, entry: ModelOnNode): boolean =>
  entry.servable || (profile?.layer_offload === true && entry.offload !== null);

const sumHeldMb = (node: NodeView): number => {
  let mb = 0;
  for (const model of node.models.values()) mb += heldMb(model, null);
  return mb;
};

/**
 * Memory of the host for layers of a model that no device there holds, even without all others; null where layers are not
 * spread. By the node's word, if it has the files.
 */
const offloadHostMb = (
  node: NodeView,
  profile: ModelProfile | undefined,
  entry: ModelOnNode | undefined,
  needMb: number,
): number | null => {
  const mayOffload = profile?.layer_offload;
  if (entry !== undefined) {
    const { offload } = entry;
    return offload !== null && (mayOffload ?? offload.isDefault) ? offload.hostMb : null;
  }
  if (mayOffload !== true || node.hostFreeMb === null) return null;
  const whole = wholeSpread(profile, entry);
  if (deviceGroups(node, whole)[0]?.[0]?.backend === 'cpu') return null;
  const isHeld = fitDevices(node, whole, needMb, (device) => device?.totalMb ?? 0) !== null;
  return isHeld ? null : node.hostFreeMb + sumHeldMb(node);
};

/** As `models.toml` has it; what that leaves at one device, as the node's own operator has it. */
export const spreadOn = (
  node: NodeView,
  profile: ModelProfile | undefined,
  entry: ModelOnNode | undefined,
  needMb: number,
): Spread => {
  const whole = wholeSpread(profile, entry);
  return whole.nDevices > 1 ? whole : { ...whole, hostMb: offloadHostMb(node, profile, entry, needMb) };
};

/** With nothing in the host's memory. */
const wholeSpread = (profile: ModelProfile | undefined, entry: ModelOnNode | undefined): Spread => {
  const nDevices = profile?.min_devices ?? 1;
  const deviceMbMin = profile?.min_device_vram_mb ?? 0;
  const placement = nDevices > 1 ? null : (entry?.placement ?? null);
  const shared = placement ?? { nDevices, devices: null };
  const isShared = shared.nDevices > 1;
  return {
    ...shared,
    deviceMbMin,
    sharing: isShared ? (entry?.sharing ?? null) : null,
    hostMb: null,
  };
};

/** Memory of a device (null: of the host) that a model holds. */
export const heldMb = (model: ModelOnNode, device: number | null): number => {
  if (model.layers.length > 0)
    return model.layers.reduce((sum, part) => (part.device === device ? sum + part.mb : sum), 0);
  const i = device === null ? -1 : model.devices.indexOf(device);
  return i < 0 ? 0 : (model.devicesMb[i] ?? model.vramUsedMb / model.devices.length);
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
  for (const { devices, mostMb } of node.reservations) free -= mostMb[devices.indexOf(device.index)] ?? 0;
  for (const model of node.models.values()) free -= stillToComeMb(model, device.index);
  return free;
};

/** What is free where a model or its layers may go: on a device, or, null, in the host's memory. */
export const freeFor =
  (node: NodeView, { hostMb }: Spread) =>
  (device: DeviceView | null): number => {
    if (device !== null) return freeMb(node, device);
    return (hostMb ?? 0) - sumHeldMb(node);
  };

export const residentsOn = (node: NodeView, device: number): number => {
  let residents = 0;
  for (const model of node.models.values())
    if ((model.status === 'loaded' || model.status === 'loading') && model.devices.includes(device)) residents += 1;
  return residents;
};

/** These devices, and only these, cannot be used together; null when they can. */
export const findBroken = (
  { brokenGroups }: Pick<NodeView, 'brokenGroups'>,
  devices: readonly number[],
  byLayers: boolean,
): BrokenGroup | null =>
  brokenGroups.find(
    (group) =>
      group.by_layers === byLayers &&
      group.devices.length === devices.length &&
      group.devices.every((index) => devices.includes(index)),
  ) ?? null;

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
  const part = Math.max(0, Math.min(least, Math.ceil(needMb / devices.length)));
  const mb = devices.map(() => part);
  return { devices: devices.map(({ index }) => index), mb, mostMb: mb, isByLayers: true };
};

interface Candidate {
  readonly index: number;
  readonly free: number;
  readonly residents: number;
}

const leastShared = (a: Candidate, b: Candidate): number =>
  a.residents - b.residents || b.free - a.free || a.index - b.index;

const roomiest = (a: Candidate, b: Candidate): number => b.free - a.free || a.index - b.index;

/** Over these, the one with the lowest index first, as a node takes them; null where one has no room for a part. */
const shareOut = (candidates: readonly Candidate[], needMb: number, sharing: Sharing | null): Fit | null => {
  const chosen = candidates.toSorted((a, b) => a.index - b.index);
  const mb = dealSharing(
    chosen.map(({ free }) => free),
    needMb,
    sharing,
  );
  if (mb === null) return null;
  const even = evenParts(chosen.length, needMb, sharing);
  const mostMb = mb.map((own, i) => Math.max(own, even[i] ?? 0));
  return { devices: chosen.map(({ index }) => index), mb, mostMb, isByLayers: false };
};

/** Over `n` of them: the least shared that have room for alike parts, else those with the most. */
const fitShared = (
  candidates: readonly Candidate[],
  { nDevices: n, sharing }: Spread,
  needMb: number,
  isBroken: (fit: Fit) => boolean,
): Fit | null => {
  const evenMb = (sharing === null ? needMb : Math.max(needMb, sharedMb(sharing, n))) / n;
  const roomy = candidates.filter(({ free }) => free >= evenMb + (sharing?.first_mb ?? 0)).toSorted(leastShared);
  const alike = roomy.length < n ? null : shareOut(roomy.slice(0, n), needMb, sharing);
  if (alike !== null && !isBroken(alike)) return alike;
  // The first has the tower: with too little room for that, or these not to be used together, another may be the first.
  let left = candidates.toSorted(roomiest);
  while (left.length >= n) {
    const most = left.slice(0, n);
    const fit = shareOut(most, needMb, sharing);
    if (fit !== null && !isBroken(fit)) return fit;
    const first = Math.min(...most.map(({ index }) => index));
    left = left.filter(({ index }) => index !== first);
  }
  return null;
};

const fitOne = (candidates: readonly Candidate[], needMb: number): Fit | null => {
  const best = candidates.filter(({ free }) => free >= needMb).toSorted(leastShared)[0];
  return best === undefined ? null : { devices: [best.index], mb: [needMb], mostMb: [needMb], isByLayers: false };
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
  const { nDevices: n, hostMb } = spread;
  const groups = deviceGroups(node, spread);
  const isBroken = (fit: Fit): boolean => findBroken(node, fit.devices, fit.isByLayers) !== null;
  if (hostMb !== null) {
    const fit = groups[0] === undefined ? null : fitLayers(groups[0], needMb, available);
    return fit === null || isBroken(fit) ? null : fit;
  }
  for (const group of groups) {
    const candidates = group.map((device): Candidate => {
      const { index } = device;
      return { index, free: available(device), residents: residentsOn(node, index) };
    });
    const fit = n === 1 ? fitOne(candidates, needMb) : fitShared(candidates, spread, needMb, isBroken);
    if (fit !== null) return fit;
  }
  return null;
};

/** Its parts follow memory that another load has yet to take: the node, which deals by what is free, would not know. */
export const isPremature = (node: NodeView, { devices, mb, mostMb }: Fit): boolean =>
  devices.some(
    (device, i) =>
      (mostMb[i] ?? 0) > (mb[i] ?? 0) && node.reservations.some((reservation) => reservation.devices.includes(device)),
  );

/** Why an empty node could never hold it; null when it could. */
export const neverFits = (node: NodeView, spread: Spread, needMb: number): string | null => {
  const { nDevices: n, devices, deviceMbMin, sharing } = spread;
  if (fitDevices(node, spread, needMb, (device) => device?.totalMb ?? spread.hostMb ?? 0) !== null) return null;
  const healthy = node.devices.filter((device) => !device.poisoned);
  if (healthy.length < node.devices.length && healthy.length < n) return `${healthy.length} healthy devices < ${n}`;
  if (node.devices.length < n) return `${node.devices.length} devices < ${n}`;
  const among = devices === null ? '' : ` among ${devices.join(', ')}`;
  if (n === 1) return `no device${among} with ${Math.max(deviceMbMin, Math.ceil(needMb))} MB`;
  const few = sharing === null ? null : undividable(sharing, n);
  if (few !== null) return `${n} devices cannot share it: there are only ${few.count} ${few.name}`;
  const alike = deviceGroups(node, spread).filter((group) => group.length >= n);
  if (alike.length === 0)
    return `not ${n} alike devices${among}${deviceMbMin === 0 ? '' : ` with ${deviceMbMin} MB each`}`;
  const neededMb = Math.ceil(sharing === null ? needMb : Math.max(needMb, sharedMb(sharing, n)));
  const rooms = alike.flat().map(({ index, totalMb }) => `device ${index} has ${totalMb}`);
  return `${neededMb} MB over ${n} devices do not fit: ${rooms.join(', ')}`;
};

/** Why only devices that cannot be used together until a restart stand against it; null when something else does, too. */
export const brokenFor = (node: NodeView, spread: Spread, needMb: number): string | null => {
  const [group] = node.brokenGroups;
  if (group === undefined || neverFits({ ...node, brokenGroups: [] }, spread, needMb) !== null) return null;
  return brokenText(group);
};

export const brokenText = ({ devices, reason }: BrokenGroup): string =>
  `devices ${devices.join(', ')} cannot be used together until the node is restarted: ${reason}`;
