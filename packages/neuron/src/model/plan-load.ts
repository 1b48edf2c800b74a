/**
 * Everything about a load that is decided before memory is taken: types and places of the weights, how devices share
 * them, and how much of each device's memory they, the caches and the steps take.
 */
import { sliceShape, type BufferType, type Device, type TensorType } from '@cortex/ggml';
import type { ArchModel } from '../arch/arch.ts';
import type { Checkpoint } from './checkpoint.ts';
import { memoryOf, type ComputeGround } from './compute-ground.ts';
import type { ModelOptions } from './device-model.ts';
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
import { cachesOn, evenShares, planSplits, type GroupSplits } from './split-plan.ts';
import { planWeights, type WeightPlan } from './weight-plan.ts';

/** Of recurrent states: one for each sequence, and one for drafts. */
export const slotsOf = ({ nSlots, draftMax = 0 }: ModelOptions): number => nSlots + (draftMax > 0 ? 1 : 0);

export interface LoadPlan {
  readonly weights: readonly WeightPlan[];
  readonly kvType: TensorType;
  /** Null on a single device. */
  readonly splits: GroupSplits | null;
  /** Of each device. Context and tokens are the same on all. */
  readonly memory: readonly [MemoryPlan, ...MemoryPlan[]];
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
export const shareOf = (
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

const nBytesOf = (plans: readonly WeightPlan[]): number =>
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
): Sharing => {
  const { arch, plans, kvType } = sizes;
  const freeBytes = devices.map((device) => memoryOf(device).freeBytes);
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
      nBytesOf((share?.plans ?? []).filter(({ spec }) => !splits.weights.has(spec.name))),
    );
    return { splits, decisions: planShared(needs, limits, freeBytes), mirroredBytes: mirrored };
  });
};

/**
 * @throws CortexError `model_load_failed`; `unsupported_parameter` for types and splits that are not possible;
 * `insufficient_vram` with what is needed, by what, and what is free.
 */
export const planLoad = (
  { devices, group, name }: ComputeGround,
  checkpoint: Checkpoint,
  arch: ArchModel,
  options: ModelOptions,
): LoadPlan => {
  const [device] = devices;
  const towerSpecs = arch.vision?.weights ?? [];
  const wanted = { wanted: options.weightType, device, nDevices: devices.length };
  const plans = planWeights(checkpoint, [...arch.weights, ...towerSpecs], wanted);
  const kvType = kvTypeFor(device, arch.caches, options.kvCacheType);
  const tower = new Set(towerSpecs.map((spec) => spec.name));
  const { nSlots, chunkMax, draftMax = 0, patchesMax = 0 } = options;
  const sizes = { arch, plans, kvType, nSlots, nStates: slotsOf(options), chunkMax, draftMax, patchesMax };
  const limits = {
    contextMax: Math.min(arch.contextMax, options.contextMax ?? arch.contextMax),
    kvTokens: options.kvTokens,
    nSlots,
    kvShare: kvShareOf(device.type === 'cpu' ? 'host' : 'device'),
  };
  const sharing = group === null ? null : shareOut(devices, { ...sizes, tower }, limits);
  const decisions = sharing?.decisions ?? [
    planMemory(measureNeeds({ device, ...sizes }), { ...limits, freeBytes: memoryOf(device).freeBytes }),
  ];
  const memory = decisions.map((decision, i) => {
    if (decision.kind === 'short') throw shortage(decision, devices[i]?.name ?? name);
    return decision.plan;
  });
  const [first, ...others] = memory;
  if (first === undefined) throw new Error('a load needs a device');
  const splits = sharing?.splits ?? null;
  const weights = group === null || splits === null ? plans : inGroup(plans, tower, group.bufferType, splits);
  return { weights, kvType, splits, memory: [first, ...others] };
};

/** What the model takes of all devices. */
export const plannedBytes = ({ memory }: LoadPlan): readonly number[] => memory.map(({ parts }) => totalBytes(parts));
