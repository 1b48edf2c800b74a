/** What a checkpoint on disk would need of a device, by the plan that a load makes. Nothing is allocated there. */
import { CortexError, evenShares } from '@cortex/core';
import type { Device } from '@cortex/ggml';
import type { ArchModel } from '../arch/arch.ts';
import { configuredArch } from './configured-arch.ts';
import type { Checkpoint } from './checkpoint.ts';
import { forDrafts } from './device-host.ts';
import type { ModelOptions } from './device-model.ts';
import { kvTypeFor } from './kv-types.ts';
import { measureNeeds, type MeasuredModel } from './memory-needs.ts';
import { cellAlignment, type MeasuredCompute, type MeasuredNeeds, type SharedNeeds } from './memory-plan.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { weightBytesOf } from './plan-load.ts';
import { roundUp } from './step-inputs.ts';
import { planSplits, sharedParts } from './split-plan.ts';
import { planWeights, type WeightPlan } from './weight-plan.ts';
import type { WeightSpec } from './weight-spec.ts';

export type MeasureOptions = Pick<ModelOptions, 'dir' | 'weightType' | 'kvCacheType' | 'nSlots' | 'chunkMax'> & {
  readonly draftMax: number;
  readonly patchesMax: number;
  /** How many share it; one by default. */
  readonly nDevices?: number;
  /** How many might: what they would need is measured too, where it can be shared so. */
  readonly nDevicesThere?: number;
};

/** Contexts that graphs are measured for: chunks grow with them up to their own maximum, masks for ever. */
const contextsFor = (chunkMax: number, contextMax: number): readonly number[] => {
  const between = [cellAlignment, roundUp(chunkMax, cellAlignment), 4096].filter((tokens) => tokens < contextMax);
  return [...new Set([...between, contextMax])].toSorted((a, b) => a - b);
};

/** A model being measured, for any number of devices. */
interface Measuring {
  readonly device: Device;
  readonly checkpoint: Checkpoint;
  readonly arch: ArchModel;
  readonly towerSpecs: readonly WeightSpec[];
  readonly options: MeasureOptions;
}

const modelFor = ({ device, checkpoint, arch, towerSpecs, options }: Measuring, nDevices: number): MeasuredModel => {
  const { weightType: wanted, kvCacheType, nSlots, chunkMax, draftMax, patchesMax } = options;
  const plans = planWeights(checkpoint, [...arch.weights, ...towerSpecs], { wanted, device, nDevices });
  const kvType = kvTypeFor(device, arch.caches, kvCacheType);
  const nStates = nSlots + (draftMax > 0 ? 1 : 0);
  return { device, arch, plans, kvType, nSlots, nStates, chunkMax, draftMax, patchesMax };
};

const measuredCompute = ({ options, arch }: Measuring, bytesFor: (tokens: number) => number): MeasuredCompute =>
  contextsFor(options.chunkMax, arch.contextMax).map((tokens) => ({ tokens, bytes: bytesFor(tokens) }));

/** @throws CortexError `unsupported_parameter` where it cannot be shared so. */
const measureSharing = (measuring: Measuring, nDevices: number): SharedNeeds => {
  const { arch, towerSpecs } = measuring;
  const model = modelFor(measuring, nDevices);
  const { plans, kvType, nStates } = model;
  const splits = planSplits(arch, plans, kvType, evenShares(nDevices));
  const tower = new Set(towerSpecs.map(({ name }) => name));
  const needsOf = (hasTower: boolean) =>
    measureNeeds({ ...model, share: { plans: [], caches: [], hasTower, nDevices } });
  const first = needsOf(true);
  const ofTower = ({ spec: { name } }: WeightPlan): boolean => tower.has(name);
  const isMirrored = (plan: WeightPlan): boolean =>
    plan.place.kind === 'buffer' && !ofTower(plan) && !splits.weights.has(plan.spec.name);
  return {
    mirroredBytes: weightBytesOf(plans.filter(isMirrored)),
    towerWeightBytes: weightBytesOf(plans.filter(ofTower)),
    towerBytes: first.towerBytes,
    imageRowBytes: needsOf(false).towerBytes,
    compute: measuredCompute(measuring, first.computeBytes),
    parts: sharedParts(arch, plans, kvType).map((part) => ({ ...part, stateBytes: part.stateBytes * nStates })),
  };
};

const isRefusal = (error: unknown): boolean => error instanceof CortexError && error.code === 'unsupported_parameter';

/** Null where two could not share it. */
const measureSharingByTwo = (measuring: Measuring): SharedNeeds | null => {
  try {
    return measureSharing(measuring, 2);
  } catch (error) {
    if (isRefusal(error)) return null;
    throw error;
  }
};

/** @throws CortexError `model_load_failed`, `unsupported_parameter` for what a load would refuse. */
export const measureCheckpoint = async (device: Device, options: MeasureOptions): Promise<MeasuredNeeds> => {
  using checkpoint = await openCheckpoint(options.dir);
  const { nDevices = 1, nDevicesThere = 1 } = options;
  const whole = configuredArch(checkpoint);
  const arch = forDrafts(whole, options);
  const measuring = { device, checkpoint, arch, towerSpecs: arch.vision?.weights ?? [], options };
  const model = modelFor(measuring, 1);
  const { computeBytes, ...fixed } = measureNeeds(model);
  const mapped = model.plans.flatMap(({ place }) => (place.kind === 'mapped' ? [place.bytes.nBytes] : []));
  const sharing = (): SharedNeeds | null => {
    if (nDevices > 1) return measureSharing(measuring, nDevices);
    return nDevicesThere > 1 ? measureSharingByTwo(measuring) : null;
  };
  return {
    ...fixed,
    mappedBytes: mapped.reduce((sum, nBytes) => sum + nBytes, 0),
    contextMax: arch.contextMax,
    compute: measuredCompute(measuring, computeBytes),
    sharing: sharing(),
  };
};
