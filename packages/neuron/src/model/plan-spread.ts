/**
 * A load over devices that have layers of their own, decided before memory is taken. Each weight is planned as on the
 * device that gets it: its type, a faster layout, the file's own pages on the host.
 */
import type { Backend, Device, TensorType } from '@cortex/ggml';
import type { ArchModel, LayerCache } from '../arch/arch.ts';
import { kvBytesPerToken, stateBytesPerSlot } from './caches.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { ModelOptions } from './device-model.ts';
import { kvTypeFor } from './kv-types.ts';
import { planLayers, type DeviceLayers, type DeviceSizes, type LayerLimits } from './layer-plan.ts';
import { measureNeeds, weightBytes } from './memory-needs.ts';
import { spreadComputeBytes, type PartRange, type SpreadMember } from './spread-needs.ts';
import { planWeights, type WeightPlan } from './weight-plan.ts';
import { layerOf, type WeightSpec } from './weight-spec.ts';

export interface SpreadModel {
  readonly arch: ArchModel;
  readonly checkpoint: Checkpoint;
  readonly options: ModelOptions;
  /** Recurrent states, those of drafts included. */
  readonly nStates: number;
  readonly limits: LayerLimits;
}

/** A device as it would have all of the model. */
interface Candidate extends SpreadMember {
  readonly sizes: DeviceSizes;
}

interface OpenedDevice {
  readonly backend: Backend;
  readonly device: Device;
  readonly freeBytes: number;
}

export interface SpreadDevice extends DeviceLayers {
  readonly backend: Backend;
  readonly device: Device;
  readonly kvType: TensorType;
}

export interface SpreadPlan {
  readonly weights: readonly WeightPlan[];
  /** In the order of the ground's devices. */
  readonly devices: readonly SpreadDevice[];
}

/** Which part of a model a weight belongs to. */
type Unit = number | 'embedding' | 'head' | 'tower';

const unitOf = (spec: WeightSpec, tower: ReadonlySet<string>): Unit => {
  if (tower.has(spec.name)) return 'tower';
  return layerOf(spec) ?? (spec.role === 'embedding' ? 'embedding' : 'head');
};

const specsOf = ({ weights, vision }: ArchModel): readonly WeightSpec[] => [...weights, ...(vision?.weights ?? [])];

const layerSize = (device: Device, plans: readonly WeightPlan[], layer: LayerCache, kvType: TensorType, n: number) => ({
  weights: weightBytes(device, plans),
  kvPerToken: kvBytesPerToken([layer], kvType),
  state: stateBytesPerSlot([layer]) * n,
});

class Spreader {
  readonly #model: SpreadModel;
  readonly #tower: ReadonlySet<string>;

  constructor(model: SpreadModel) {
    this.#model = model;
    this.#tower = new Set(model.arch.vision?.weights.map(({ name }) => name));
  }

  /** @param other of the devices, the host where this is not the host */
  candidate(opened: OpenedDevice, other: OpenedDevice): Candidate {
    const { arch, options, nStates } = this.#model;
    const member = this.#member(opened);
    const { device, plans, kvType } = member;
    const of = (unit: Unit): readonly WeightPlan[] => plans.filter(({ spec }) => unitOf(spec, this.#tower) === unit);
    const { nSlots, chunkMax, draftMax = 0, patchesMax = 0 } = options;
    const whole = { device, arch, plans, kvType, nSlots, nStates, chunkMax, draftMax, patchesMax };
    const towerBytes = (hasTower: boolean): number =>
      measureNeeds({ ...whole, share: { plans: [], caches: [], hasTower, nDevices: 1 } }).towerBytes;
    const sizes: DeviceSizes = {
      name: device.name,
      freeBytes: opened.freeBytes,
      sharesHost: device.type === 'igpu',
      layers: arch.caches.map((layer, i) => layerSize(device, of(i), layer, kvType, nStates)),
      embedding: weightBytes(device, of('embedding')),
      head: weightBytes(device, of('head')),
      tower: { weights: weightBytes(device, of('tower')), compute: towerBytes(true) },
      imageRows: towerBytes(false),
      computeBytes: this.#computing(member, this.#member(other)),
    };
    return { ...member, sizes };
  }

  #member({ backend, device }: OpenedDevice): SpreadMember {
    const { arch, checkpoint, options } = this.#model;
    // The embedding is the host's: a head elsewhere has nothing to be tied to.
    const mayTie = device.type === 'cpu';
    const plans = planWeights(checkpoint, specsOf(arch), { wanted: options.weightType, device, nDevices: 1, mayTie });
    const kvType = kvTypeFor(device, arch.caches, options.kvCacheType);
    return { backend, device, plans, kvType };
  }

  /** Asked for the same again and again: the same answers. */
  #computing(member: SpreadMember, other: SpreadMember): DeviceSizes['computeBytes'] {
    const { arch, options, nStates } = this.#model;
    const { nSlots, chunkMax, draftMax = 0 } = options;
    const isTowers = ({ spec }: WeightPlan): boolean => this.#tower.has(spec.name);
    const textOf = ({ plans, ...rest }: SpreadMember): SpreadMember => ({
      ...rest,
      plans: plans.filter((plan) => !isTowers(plan)),
    });
    const members = [textOf(member), textOf(other)] as const;
    const known = new Map<string, number>();
    return (contextMax: number, range: PartRange): number => {
      const key = `${contextMax} ${range.first} ${range.end}`;
      const nBytes =
        known.get(key) ?? spreadComputeBytes({ arch, nSlots, nStates, chunkMax, draftMax }, members, range, contextMax);
      known.set(key, nBytes);
      return nBytes;
    };
  }

  /** Of each device what it has, as the model declares its weights in order. */
  weights(devices: readonly (Candidate & DeviceLayers)[]): readonly WeightPlan[] {
    return specsOf(this.#model.arch).map(({ name }, i) => {
      const plan = devices.find((device) => this.#has(device, name, i))?.plans[i];
      if (plan === undefined) throw new Error(`no device has ${name}`);
      return plan;
    });
  }

  #has({ first, n, hasHead, hasTower, device, plans }: Candidate & DeviceLayers, name: string, i: number): boolean {
    const spec = plans[i]?.spec;
    if (spec?.name !== name) throw new Error('weights are planned in one order on all devices');
    const unit = unitOf(spec, this.#tower);
    if (unit === 'embedding') return device.type === 'cpu';
    if (unit === 'head') return hasHead;
    return unit === 'tower' ? hasTower : unit >= first && unit < first + n;
  }
}

/**
 * @param opened the host last, with what each has free
 * @throws CortexError as `planLoad` does.
 */
export const planSpread = (opened: readonly OpenedDevice[], model: SpreadModel): SpreadPlan => {
  const spreader = new Spreader(model);
  const [first, last] = [opened[0], opened.at(-1)];
  if (first === undefined || last === undefined) throw new Error('layers need a device');
  const all = opened.map((each) => spreader.candidate(each, each === last ? first : last));
  const host = all.at(-1);
  if (host === undefined) throw new Error('layers need a device');
  const roomiest = all.slice(0, -1).toSorted((a, b) => b.sizes.freeBytes - a.sizes.freeBytes);
  const order = [...roomiest, host];
  const dealt = planLayers(
    roomiest.map(({ sizes }) => sizes),
    host.sizes,
    model.limits,
  );
  const devices = all.flatMap((candidate) => {
    const layers = dealt[order.indexOf(candidate)];
    return layers === undefined ? [] : [{ ...candidate, ...layers }];
  });
  return { weights: spreader.weights(devices), devices };
};
