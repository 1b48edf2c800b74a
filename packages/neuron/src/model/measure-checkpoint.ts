/** What a checkpoint on disk would need of a device, by the plan that a load makes. Nothing is allocated there. */
import type { Device } from '@cortex/ggml';
import { archOf } from '../arch/registry.ts';
import { forDrafts } from './device-host.ts';
import type { ModelOptions } from './device-model.ts';
import { kvTypeFor } from './kv-types.ts';
import { measureNeeds } from './memory-needs.ts';
import { cellAlignment, type MeasuredNeeds } from './memory-plan.ts';
import { openCheckpoint } from './open-checkpoint.ts';
import { shareOf } from './plan-load.ts';
import { roundUp } from './step-inputs.ts';
import { evenShares, planSplits } from './split-plan.ts';
import { planWeights } from './weight-plan.ts';

export type MeasureOptions = Pick<ModelOptions, 'dir' | 'weightType' | 'kvCacheType' | 'nSlots' | 'chunkMax'> & {
  readonly draftMax: number;
  readonly patchesMax: number;
  /** That share it, one by default: what the first needs, which has most, is measured. */
  readonly nDevices?: number;
};

/** Contexts that graphs are measured for: chunks grow with them up to their own maximum, masks for ever. */
const contextsFor = (chunkMax: number, contextMax: number): readonly number[] => {
  const between = [cellAlignment, roundUp(chunkMax, cellAlignment), 4096].filter((tokens) => tokens < contextMax);
  return [...new Set([...between, contextMax])].toSorted((a, b) => a - b);
};

/** @throws CortexError `model_load_failed`, `unsupported_parameter` for what a load would refuse. */
export const measureCheckpoint = async (device: Device, options: MeasureOptions): Promise<MeasuredNeeds> => {
  using checkpoint = await openCheckpoint(options.dir);
  const { nSlots, draftMax, nDevices = 1 } = options;
  const whole = archOf(checkpoint.config).configure(checkpoint.config, checkpoint);
  const arch = forDrafts(whole, options);
  const towerSpecs = arch.vision?.weights ?? [];
  const specs = [...arch.weights, ...towerSpecs];
  const plans = planWeights(checkpoint, specs, { wanted: options.weightType, device, nDevices });
  const kvType = kvTypeFor(device, arch.caches, options.kvCacheType);
  const nStates = nSlots + (draftMax > 0 ? 1 : 0);
  const splits = nDevices === 1 ? null : planSplits(arch, plans, kvType, evenShares(nDevices));
  const tower = new Set(towerSpecs.map(({ name }) => name));
  const share =
    splits === null ? {} : { share: shareOf(plans, arch, tower, splits, { i: 0, type: device.bufferType }) };
  const { computeBytes, ...fixed } = measureNeeds({ ...options, device, arch, plans, kvType, nStates, ...share });
  const { contextMax } = arch;
  const mapped = plans.flatMap(({ place }) => (place.kind === 'mapped' && splits === null ? [place.bytes.nBytes] : []));
  return {
    ...fixed,
    mappedBytes: mapped.reduce((sum, nBytes) => sum + nBytes, 0),
    contextMax,
    compute: contextsFor(options.chunkMax, contextMax).map((tokens) => ({ tokens, bytes: computeBytes(tokens) })),
  };
};
