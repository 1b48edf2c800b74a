/**
 * Which device has which layers of a model that no device holds whole. Pure; sizes are bytes. The host has the embedding
 * and the first layers, then come the devices one after the other, the first of them with the last layers and the head:
 * so results cross from one memory to another as seldom as can be. The first is the one with the most room, or another
 * where only so there is room for all.
 */
import { CortexError } from '@cortex/core';
import {
  addedParts,
  cellAlignment,
  kvShareOf,
  partsText,
  planMemory,
  totalBytes,
  type MemoryLimits,
  type MemoryNeeds,
  type MemoryParts,
  type MemoryPlan,
} from './memory-plan.ts';
import type { PartRange } from './spread-needs.ts';

/** What one layer takes. */
export interface LayerSize {
  readonly weights: number;
  readonly kvPerToken: number;
  /** Recurrent states of all slots. */
  readonly state: number;
}

/** What the parts of a model would take on one device. */
export interface DeviceSizes {
  readonly name: string;
  readonly freeBytes: number;
  /** Its memory is the host's. */
  readonly sharesHost: boolean;
  /** A predictor counts as one behind the others. */
  readonly layers: readonly LayerSize[];
  readonly embedding: number;
  /** With the final norm. */
  readonly head: number;
  readonly tower: { readonly weights: number; readonly compute: number };
  /** Rows of the largest image, where the tower is elsewhere. */
  readonly imageRows: number;
  computeBytes(contextMax: number, range: PartRange): number;
}

/** What one device has of it; no layers where it is left out. */
export interface DeviceLayers {
  readonly first: number;
  readonly n: number;
  readonly hasHead: boolean;
  readonly hasTower: boolean;
  readonly memory: MemoryPlan;
}

export type LayerLimits = Omit<MemoryLimits, 'freeBytes' | 'kvShare'>;

/** Of one sequence, and of all together. */
type Tokens = Pick<MemoryPlan, 'contextMax' | 'kvTokens'>;

const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
  items.reduce((total, item) => total + of(item), 0);

const noParts: MemoryParts = { weights: 0, kv: 0, state: 0, compute: 0, tower: 0 };

const partsOfLayer = ({ weights, kvPerToken, state }: LayerSize, { kvTokens }: Tokens): MemoryParts => ({
  ...noParts,
  weights,
  kv: kvPerToken * kvTokens,
  state,
});

const layerParts = (sizes: DeviceSizes, i: number, tokens: Tokens): MemoryParts => {
  const layer = sizes.layers[i];
  // Behind the layers comes the head.
  return layer === undefined ? { ...noParts, weights: sizes.head } : partsOfLayer(layer, tokens);
};

interface Taken {
  readonly first: number;
  readonly parts: MemoryParts;
}

const towerOf = ({ tower: { weights, compute } }: DeviceSizes): MemoryParts => ({
  ...noParts,
  weights,
  tower: compute,
});

/** Results on the way, of a device that has these parts. */
const computing = (sizes: DeviceSizes, range: PartRange, hasTower: boolean, { contextMax }: Tokens): MemoryParts =>
  addedParts(
    { ...noParts, compute: sizes.computeBytes(contextMax, range) },
    hasTower ? towerOf(sizes) : { ...noParts, tower: sizes.imageRows },
  );

const heldParts = (sizes: DeviceSizes, { first, end }: PartRange, tokens: Tokens): MemoryParts => {
  let held = noParts;
  for (let i = first; i < end; i++) held = addedParts(held, layerParts(sizes, i, tokens));
  return held;
};

/** The parts before `end` that fit into the device's memory beside what it needs to compute them. */
const take = (sizes: DeviceSizes, end: number, hasTower: boolean, tokens: Tokens): Taken => {
  const isRoomFor = (parts: MemoryParts): boolean => totalBytes(parts) <= sizes.freeBytes;
  let first = end;
  while (first > 0 && isRoomFor(heldParts(sizes, { first: first - 1, end }, tokens))) first -= 1;
  for (; first < end; first++) {
    const range = { first, end };
    const parts = addedParts(heldParts(sizes, range, tokens), computing(sizes, range, hasTower, tokens));
    if (isRoomFor(parts)) return { first, parts };
  }
  return { first, parts: noParts };
};

interface Deal {
  /** In the order of the devices, the host last. */
  readonly devices: readonly DeviceLayers[];
  /** Whether the host has room for what is left. */
  readonly isWhole: boolean;
  /** Of the host, without what devices have that share its memory. */
  readonly hostFreeBytes: number;
}

const deal = (devices: readonly DeviceSizes[], host: DeviceSizes, tokens: Tokens): Deal => {
  const nLayers = host.layers.length;
  const dealt = (first: number, end: number, hasTower: boolean, parts: MemoryParts): DeviceLayers => ({
    first,
    n: Math.min(end, nLayers) - Math.min(first, nLayers),
    hasHead: first <= nLayers && end > nLayers,
    hasTower,
    memory: { ...tokens, parts },
  });
  const all: DeviceLayers[] = [];
  let end = nLayers + 1;
  let hasTower = true;
  let nBytesShared = 0;
  for (const sizes of devices) {
    const { first, parts } = take(sizes, end, hasTower, tokens);
    all.push(dealt(first, end, hasTower && first < end, parts));
    if (first === end) continue;
    if (sizes.sharesHost) nBytesShared += totalBytes(parts);
    [end, hasTower] = [first, false];
  }
  const left = { first: 0, end };
  const held = addedParts({ ...noParts, weights: host.embedding }, heldParts(host, left, tokens));
  const parts = addedParts(held, computing(host, left, hasTower, tokens));
  const hostFreeBytes = host.freeBytes - nBytesShared;
  const devicesDealt = [...all, dealt(0, end, hasTower, parts)];
  return { devices: devicesDealt, isWhole: totalBytes(parts) <= hostFreeBytes, hostFreeBytes };
};

/** In the order of `devices`, whichever of them is filled first; what falls short is told of the first order. */
const dealInAnyOrder = (devices: readonly DeviceSizes[], host: DeviceSizes, tokens: Tokens): Deal => {
  const dealIn = (order: readonly DeviceSizes[]): Deal => {
    const dealt = deal(order, host, tokens);
    const places = [...devices, host].map((sizes) => [...order, host].indexOf(sizes));
    return { ...dealt, devices: places.flatMap((place) => dealt.devices[place] ?? []) };
  };
  const inOrder = dealIn(devices);
  if (inOrder.isWhole) return inOrder;
  for (const first of devices.slice(1)) {
    const other = dealIn([first, ...devices.filter((device) => device !== first)]);
    if (other.isWhole) return other;
  }
  return inOrder;
};

/** As if all devices were one, with the most that a part takes on any. */
const joinedNeeds = (all: readonly DeviceSizes[]): MemoryNeeds => {
  const most = (of: (sizes: DeviceSizes) => number): number => Math.max(...all.map(of));
  const overLayers = (of: (layer: LayerSize) => number): number => most(({ layers }) => sum(layers, of));
  return {
    weightBytes:
      overLayers(({ weights }) => weights) +
      most(({ head }) => head) +
      most(({ embedding }) => embedding) +
      most(({ tower }) => tower.weights),
    kvBytesPerToken: overLayers(({ kvPerToken }) => kvPerToken),
    stateBytes: overLayers(({ state }) => state),
    towerBytes: most(({ tower }) => tower.compute),
    computeBytes: (contextMax) =>
      sum(all, (sizes) => sizes.computeBytes(contextMax, { first: 0, end: sizes.layers.length })),
  };
};

const mb = (nBytes: number): number => Math.ceil(nBytes / 2 ** 20);
const mbFree = (nBytes: number): number => Math.floor(Math.max(0, nBytes) / 2 ** 20);

/** What is needed, by what, and how much of it has a place. */
const shortage = (
  { devices, hostFreeBytes }: Deal,
  sizes: readonly DeviceSizes[],
  { kvTokens }: Tokens,
): CortexError => {
  const parts = devices.reduce((total, { memory }) => addedParts(total, memory.parts), noParts);
  const [needed, hostFree] = [mb(totalBytes(parts)), mbFree(hostFreeBytes)];
  const free = sum(sizes.slice(0, -1), ({ freeBytes }) => mbFree(freeBytes)) + hostFree;
  const places = sizes.map(({ name, freeBytes }, i) => {
    const nBytes = totalBytes(devices[i]?.memory.parts ?? noParts);
    if (i === sizes.length - 1) return `${name} would have ${mb(nBytes)} and has ${hostFree} free`;
    return `${name} has ${mbFree(nBytes)} of its ${mbFree(freeBytes)} free`;
  });
  return new CortexError(
    'insufficient_vram',
    `layers over ${sizes.map(({ name }) => name).join(' + ')}: ${needed} MB are needed (${partsText(parts, kvTokens)}): ` +
      places.join(', '),
    { facts: { needed_mb: needed, free_mb: free, kv_tokens: kvTokens } },
  );
};

/**
 * What each device has, in the order given, the host last.
 * @param devices those with the most room first
 * @throws CortexError `insufficient_vram` with what is needed, by what, what of it each would have, and what is free there.
 */
export const planLayers = (
  devices: readonly DeviceSizes[],
  host: DeviceSizes,
  limits: LayerLimits,
): readonly DeviceLayers[] => {
  const all = [...devices, host];
  const needs = joinedNeeds(all);
  // Cache takes the place of layers on the faster devices: of what is left it gets no more than on a host.
  const share = { ...limits, freeBytes: sum(all, ({ freeBytes }) => freeBytes), kvShare: kvShareOf('host') };
  const { plan } = planMemory(needs, share);
  let tokens: Tokens = { contextMax: plan.contextMax, kvTokens: plan.kvTokens };
  for (;;) {
    const dealt = dealInAnyOrder(devices, host, tokens);
    if (dealt.isWhole) return dealt.devices;
    if (limits.kvTokens !== null || tokens.kvTokens <= cellAlignment) throw shortage(dealt, all, tokens);
    const kvTokens = Math.max(cellAlignment, Math.floor(tokens.kvTokens / 2 / cellAlignment) * cellAlignment);
    tokens = { kvTokens, contextMax: Math.min(tokens.contextMax, kvTokens) };
  }
};
