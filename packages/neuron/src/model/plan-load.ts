/**
 * Everything about a load that is decided before memory is taken: types and places of the weights, how devices share
 * them, and how much of each device's memory they, the caches and the steps take.
 */
import { evenShares } from '@cortex/core';
import { sliceShape, type Backend, type BufferType, type Device } from '@cortex/ggml';
import type { ArchModel } from '../arch/arch.ts';
import type { CachePlace, PlacedCache } from './caches.ts';
import type { Checkpoint } from './checkpoint.ts';
import { memoryOf, type ComputeGround } from './compute-ground.ts';
import type { ModelOptions, ModelPart } from './device-model.ts';
import { chooseShares, type SharedPlan } from './device-shares.ts';
import { kvTypeFor } from './kv-types.ts';
import { measureNeeds, measureShare, type MeasuredModel, type ModelShare } from './memory-needs.ts';
import {
  kvShareOf,
  planMemory,
  planShared,
  shortage,
  totalBytes,
  type MemoryLimits,
  type MemoryPlan,
} from './memory-plan.ts';
import { planSpread } from './plan-spread.ts';
import { cachesOn, planSplits, type GroupSplits } from './split-plan.ts';
import { finerWeights, planWeights, type FinerWeights, type WeightPlan } from './weight-plan.ts';

/** Of recurrent states: one for each sequence, and one for drafts. */
export const slotsOf = ({ nSlots, draftMax = 0 }: ModelOptions): number => nSlots + (draftMax > 0 ? 1 : 0);

export interface LoadPlan {
  readonly weights: readonly WeightPlan[];
  /** By layer. */
  readonly caches: readonly PlacedCache[];
  /** Of each device. Context and tokens are the same on all. */
  readonly memory: readonly [MemoryPlan, ...MemoryPlan[]];
  /** Where the vision tower is, if there is one. */
  readonly tower: { readonly backend: Backend; readonly bufferType: BufferType };
  /** Of a spread. */
  readonly parts: readonly ModelPart[];
  readonly finer: readonly FinerWeights[];
}

const isInBuffer = ({ place }: WeightPlan): boolean => place.kind === 'buffer';

/** In the group's memory, dealt out where the architecture has them so; the tower's stay where they are. */
const inGroup = (
  plans: readonly WeightPlan[],
  tower: ReadonlySet<string>,
  type: BufferType,
  { weights }: GroupSplits,
): readonly WeightPlan[] =>
  plans.map((plan) => {
    const { name } = plan.spec;
    if (!isInBuffer(plan) || tower.has(name)) return plan;
    const split = weights.get(name);
    // Only along its rows can a tensor that is dealt out be written in pieces.
    const isWhole = split?.axis === 1;
    return { ...plan, place: { kind: 'buffer', type, isWhole, ...(split !== undefined && { split }) } };
  });

/** What device i has of it. */
const shareOf = (
  plans: readonly WeightPlan[],
  arch: ArchModel,
  tower: ReadonlySet<string>,
  splits: GroupSplits,
  { i, type }: { readonly i: number; readonly type: BufferType },
): ModelShare => ({
  plans: plans.flatMap((plan) => {
    if (!isInBuffer(plan) || (i > 0 && tower.has(plan.spec.name))) return [];
    const split = splits.weights.get(plan.spec.name);
    const ne = split === undefined ? plan.spec.ne : sliceShape(plan.spec.ne, split, i);
    return [{ ...plan, spec: { ...plan.spec, ne }, place: { kind: 'buffer', type, isWhole: false } } as const];
  }),
  caches: cachesOn(arch.caches, splits, i),
  hasTower: i === 0,
  nDevices: splits.nDevices,
});

/** Without what buffers add for alignment. */
export const weightBytesOf = (plans: readonly WeightPlan[]): number =>
  plans.reduce((sum, { spec, type }) => sum + spec.ne.reduce((n, dim) => n * dim, type.blockBytes / type.blockSize), 0);

interface Sharing extends SharedPlan {
  readonly splits: GroupSplits;
}

interface Sizes extends Omit<MeasuredModel, 'device' | 'share'> {
  readonly tower: ReadonlySet<string>;
}

/** Of a model that several devices share. @throws CortexError `unsupported_parameter`. */
const shareOut = (
  devices: readonly Device[],
  { tower, ...sizes }: Sizes,
  limits: Omit<MemoryLimits, 'freeBytes'>,
  freeBytes: readonly number[],
): Sharing => {
  const { arch, plans, kvType } = sizes;
  const measured = (splits: GroupSplits): readonly MeasuredModel[] =>
    devices.map((device, i) => {
      const share = shareOf(plans, arch, tower, splits, { i, type: device.bufferType });
      return { device, ...sizes, share };
    });
  // Steps and tower are the same whatever the shares are.
  const base = measured(planSplits(arch, plans, kvType, evenShares(devices.length))).map(measureNeeds);
  return chooseShares(freeBytes, limits, (shares) => {
    const splits = planSplits(arch, plans, kvType, shares);
    const own = measured(splits);
    const needs = base.map((all, i) => ({ ...all, ...(own[i] === undefined ? {} : measureShare(own[i])) }));
    const mirrored = own.map(({ share }) =>
      weightBytesOf((share?.plans ?? []).filter(({ spec }) => !splits.weights.has(spec.name))),
    );
    return { splits, decisions: planShared(needs, limits, freeBytes), mirroredBytes: mirrored };
  });
};

/** What is free of each device for this model. */
const freeOf = ({ devices }: ComputeGround, { roomBytes = [] }: ModelOptions): readonly number[] =>
  devices.map((device, i) => Math.min(memoryOf(device).freeBytes, roomBytes[i] ?? Infinity));

/** What the operator and the model allow. */
const limitsOf = (arch: ArchModel, { contextMax, kvTokens, nSlots }: ModelOptions) => ({
  contextMax: Math.min(arch.contextMax, contextMax ?? arch.contextMax),
  kvTokens,
  nSlots,
});

const notEmpty = (plans: readonly MemoryPlan[]): LoadPlan['memory'] => {
  const [first, ...others] = plans;
  if (first === undefined) throw new Error('a load needs a device');
  return [first, ...others];
};

const planOverLayers = (
  spread: readonly Backend[],
  ground: ComputeGround,
  checkpoint: Checkpoint,
  arch: ArchModel,
  options: ModelOptions,
): LoadPlan => {
  const free = freeOf(ground, options);
  const backends = ground.devices.flatMap((device, i) => {
    const backend = spread[i];
    return backend === undefined ? [] : [{ backend, device, freeBytes: free[i] ?? 0 }];
  });
  const limits = limitsOf(arch, options);
  const { weights, devices } = planSpread(backends, { arch, checkpoint, options, nStates: slotsOf(options), limits });
  const caches = arch.caches.map((layer, i): Omit<PlacedCache, 'place'> & { readonly iDevice: number } => {
    const iDevice = devices.findIndex(({ first, n }) => i >= first && i < first + n);
    const kvType = devices[iDevice]?.kvType;
    if (kvType === undefined) throw new Error(`no device has layer ${i}`);
    return { layer, kvType, iDevice };
  });
  const places = devices.map(({ device }): CachePlace => ({
    native: device.native,
    type: device.bufferType,
    isHost: device.type === 'cpu',
    splits: null,
  }));
  const seeing = devices.find(({ hasTower }) => hasTower) ?? devices.at(-1);
  if (seeing === undefined) throw new Error('a spread has devices');
  const nLayers = arch.caches.length - (arch.predictor === null ? 0 : 1);
  return {
    weights,
    finer: finerWeights(weights),
    caches: caches.flatMap(({ iDevice, ...rest }) => {
      const place = places[iDevice];
      return place === undefined ? [] : [{ ...rest, place }];
    }),
    memory: notEmpty(devices.map(({ memory }) => memory)),
    tower: { backend: seeing.backend, bufferType: seeing.device.bufferType },
    parts: devices.map(({ device, first, n, memory }, i) => ({
      name: device.name,
      member: i < devices.length - 1 ? i : null,
      nLayers: Math.max(0, Math.min(first + n, nLayers) - first),
      nBytes: totalBytes(memory.parts),
    })),
  };
};

/**
 * @throws CortexError `model_load_failed`; `unsupported_parameter` for types and splits that are not possible;
 * `insufficient_vram` with what is needed, by what, and what is free.
 */
export const planLoad = (
  ground: ComputeGround,
  checkpoint: Checkpoint,
  arch: ArchModel,
  options: ModelOptions,
): LoadPlan => {
  const { devices, group, spread } = ground;
  if (spread !== null) return planOverLayers(spread, ground, checkpoint, arch, options);
  const [device] = devices;
  const towerSpecs = arch.vision?.weights ?? [];
  const wanted = { wanted: options.weightType, device, nDevices: devices.length };
  const plans = planWeights(checkpoint, [...arch.weights, ...towerSpecs], wanted);
  const kvType = kvTypeFor(device, arch.caches, options.kvCacheType);
  const tower = new Set(towerSpecs.map((spec) => spec.name));
  const { nSlots, chunkMax, draftMax = 0, patchesMax = 0 } = options;
  const sizes = { arch, plans, kvType, nSlots, nStates: slotsOf(options), chunkMax, draftMax, patchesMax };
  const isHost = device.type === 'cpu';
  const limits = { ...limitsOf(arch, options), kvShare: kvShareOf(isHost ? 'host' : 'device') };
  const free = freeOf(ground, options);
  const sharing = group === null ? null : shareOut(devices, { ...sizes, tower }, limits, free);
  const decisions = sharing?.decisions ?? [
    planMemory(measureNeeds({ device, ...sizes }), { ...limits, freeBytes: free[0] ?? 0 }),
  ];
  const memory = decisions.map((decision, i) => {
    if (decision.kind === 'short') throw shortage(decision, devices[i]?.name ?? ground.name);
    return decision.plan;
  });
  const splits = sharing?.splits ?? null;
  const place = { native: device.native, type: ground.bufferType, isHost: isHost && splits === null, splits };
  return {
    weights: group === null || splits === null ? plans : inGroup(plans, tower, group.bufferType, splits),
    caches: arch.caches.map((layer) => ({ layer, kvType, place })),
    memory: notEmpty(memory),
    tower: ground.first,
    parts: [],
    finer: finerWeights(plans),
  };
};

/** What the model takes of all devices. */
export const plannedBytes = ({ memory }: LoadPlan): readonly number[] => memory.map(({ parts }) => totalBytes(parts));
