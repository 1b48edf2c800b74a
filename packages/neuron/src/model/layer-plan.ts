/**
 * Which device has which layers of a model that no device holds whole. Pure; sizes are bytes. The host has the embedding
 * and the first layers, then come the devices one after the other, the first of them with the last layers and the head:
 * so results cross from one memory to another as seldom as can be.
 */
import { CortexError } from '@cortex/core';
import {
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
  computeBytes(contextMax: number): number;
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

const added = (a: MemoryParts, b: MemoryParts): MemoryParts => ({
  weights: a.weights + b.weights,
  kv: a.kv + b.kv,
  state: a.state + b.state,
  compute: a.compute + b.compute,
  tower: a.tower + b.tower,
});

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

/** The parts before `end` that fit into the device's memory beside what it needs for any. */
const take = (sizes: DeviceSizes, fixed: MemoryParts, end: number, tokens: Tokens): Taken => {
  let taken: Taken = { first: end, parts: fixed };
  while (taken.first > 0) {
    const parts = added(taken.parts, layerParts(sizes, taken.first - 1, tokens));
    if (totalBytes(parts) > sizes.freeBytes) break;
    taken = { first: taken.first - 1, parts };
  }
  return taken;
};

const towerOf = ({ tower: { weights, compute } }: DeviceSizes): MemoryParts => ({
  ...noParts,
  weights,
  tower: compute,
});

/** Null where the host has no room for what is left. Everything fits on the host in the end, or nothing does. */
const deal = (devices: readonly DeviceSizes[], host: DeviceSizes, tokens: Tokens): readonly DeviceLayers[] | null => {
  const nLayers = host.layers.length;
  const { contextMax } = tokens;
  const computing = (sizes: DeviceSizes, hasTower: boolean): MemoryParts =>
    added(
      { ...noParts, compute: sizes.computeBytes(contextMax) },
      hasTower ? towerOf(sizes) : { ...noParts, tower: sizes.imageRows },
    );
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
    const { first, parts } = take(sizes, computing(sizes, hasTower), end, tokens);
    if (first === end) {
      all.push(dealt(end, end, false, noParts));
      continue;
    }
    all.push(dealt(first, end, hasTower, parts));
    if (sizes.sharesHost) nBytesShared += totalBytes(parts);
    [end, hasTower] = [first, false];
  }
  let parts = added(computing(host, hasTower), { ...noParts, weights: host.embedding });
  for (let i = 0; i < end; i++) parts = added(parts, layerParts(host, i, tokens));
  if (totalBytes(parts) + nBytesShared > host.freeBytes) return null;
  return [...all, dealt(0, end, hasTower, parts)];
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
    computeBytes: (contextMax) => sum(all, (sizes) => sizes.computeBytes(contextMax)),
  };
};

const mb = (nBytes: number): number => Math.ceil(nBytes / 2 ** 20);
const freeMb = ({ freeBytes }: DeviceSizes): number => Math.floor(Math.max(0, freeBytes) / 2 ** 20);

const shortage = (parts: MemoryParts, { kvTokens }: Tokens, all: readonly DeviceSizes[]): CortexError => {
  const needed = mb(totalBytes(parts));
  const free = sum(all, freeMb);
  const rooms = all.map((sizes) => `${sizes.name} ${freeMb(sizes)}`).join(', ');
  return new CortexError(
    'insufficient_vram',
    `layers over ${all.map(({ name }) => name).join(' + ')}: ${needed} MB are needed (${partsText(parts, kvTokens)}), ` +
      `${free} MB are free (${rooms})`,
    { facts: { needed_mb: needed, free_mb: free, kv_tokens: kvTokens } },
  );
};

/**
 * What each device has, in the order given, the host last.
 * @param devices those with the most room first
 * @throws CortexError `insufficient_vram` with what is needed, by what, and what each has free.
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
    const dealt = deal(devices, host, tokens);
    if (dealt !== null) return dealt;
    if (limits.kvTokens !== null || tokens.kvTokens <= cellAlignment) break;
    const kvTokens = Math.max(cellAlignment, Math.floor(tokens.kvTokens / 2 / cellAlignment) * cellAlignment);
    tokens = { kvTokens, contextMax: Math.min(tokens.contextMax, kvTokens) };
  }
  throw shortage(partsFor(needs, tokens), tokens, all);
};

const partsFor = (needs: MemoryNeeds, { contextMax, kvTokens }: Tokens): MemoryParts => ({
  weights: needs.weightBytes,
  kv: needs.kvBytesPerToken * kvTokens,
  state: needs.stateBytes,
  compute: needs.computeBytes(contextMax),
  tower: needs.towerBytes,
});
