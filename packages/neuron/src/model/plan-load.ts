/**
 * Everything about a load that is decided before memory is taken: types and places of the weights, how devices share
 * them, and how much of each device's memory they, the caches and the steps take.
 */
import { sliceShape, type BufferType, type TensorType } from '@cortex/ggml';
import type { ArchModel } from '../arch/arch.ts';
import type { Checkpoint } from './checkpoint.ts';
import { memoryOf, type ComputeGround } from './compute-ground.ts';
import type { ModelOptions } from './device-model.ts';
import { kvTypeFor } from './kv-types.ts';
import { measureNeeds, type ModelShare } from './memory-needs.ts';
import { kvShareOf, planShared, shortage, totalBytes, type MemoryPlan } from './memory-plan.ts';
import { cachesOn, planSplits, type GroupSplits } from './split-plan.ts';
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
  const { devices, group } = ground;
  const [device] = devices;
  const towerSpecs = arch.vision?.weights ?? [];
  const plans = planWeights(checkpoint, [...arch.weights, ...towerSpecs], { wanted: options.weightType, device });
  const kvType = kvTypeFor(device, arch.caches, options.kvCacheType);
  const splits = group === null ? null : planSplits(arch, plans, kvType, devices.length);
  const tower = new Set(towerSpecs.map(({ name }) => name));
  const { nSlots, chunkMax, draftMax = 0, patchesMax = 0 } = options;
  const sizes = { arch, plans, kvType, nSlots, nStates: slotsOf(options), chunkMax, draftMax, patchesMax };
  const needs = devices.map((each, i) =>
    measureNeeds({
      device: each,
      ...sizes,
      ...(splits !== null && { share: shareOf(plans, arch, tower, splits, { i, type: each.bufferType }) }),
    }),
  );
  const limits = {
    contextMax: Math.min(arch.contextMax, options.contextMax ?? arch.contextMax),
    kvTokens: options.kvTokens,
    nSlots,
    kvShare: kvShareOf(device.type === 'cpu' ? 'host' : 'device'),
  };
  const freeBytes = devices.map((each) => memoryOf(each).freeBytes);
  const memory = planShared(needs, limits, freeBytes).map((decision, i) => {
    if (decision.kind === 'short') throw shortage(decision, devices[i]?.name ?? ground.name);
    return decision.plan;
  });
  const [first, ...others] = memory;
  if (first === undefined) throw new Error('a load needs a device');
  const weights = group === null || splits === null ? plans : inGroup(plans, tower, group.bufferType, splits);
  return { weights, kvType, splits, memory: [first, ...others] };
};

/** What the model takes of all devices. */
export const plannedBytes = ({ memory }: LoadPlan): readonly number[] => memory.map(({ parts }) => totalBytes(parts));
