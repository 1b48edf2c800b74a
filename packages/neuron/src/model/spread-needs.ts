/**
 * What steps of a model take of a device that has only parts of it: ggml's scheduler plans the same graphs over tensors
 * without memory, so that what the device computes counts, and the copies that it gets of inputs and of others' results.
 */
import {
  asPlaceless,
  Context,
  EmptyBuffer,
  GraphScheduler,
  tensorTypes,
  type Backend,
  type BufferType,
  type BufferUsage,
  type Device,
  type Tensor,
  type TensorType,
} from '@cortex/ggml';
import type { ArchModel, LayerCacheTensors } from '../arch/arch.ts';
import { largestSteps } from './memory-needs.ts';
import { cellAlignment } from './memory-plan.ts';
import { PredictorStep } from './predictor-steps.ts';
import { roundUp } from './step-inputs.ts';
import { schedulerSizeOf, TextStep, type StepShape } from './text-step.ts';
import type { WeightPlan } from './weight-plan.ts';
import { layerOf, type WeightSpec } from './weight-spec.ts';

/** Graphs of other shapes, and beside more devices, are laid out in other ways, which may take a little more. */
const layoutShare = 1 / 16;

/** A device, opened, and the model's weights and caches as they would be there. */
export interface SpreadMember {
  readonly backend: Backend;
  readonly device: Device;
  /** Of all members in one order. */
  readonly plans: readonly WeightPlan[];
  readonly kvType: TensorType;
}

/** Layers from `first` to before `end`, counted with the head behind the last of them. The embedding is the host's. */
export interface PartRange {
  readonly first: number;
  readonly end: number;
}

export interface SteppedModel {
  readonly arch: ArchModel;
  readonly nSlots: number;
  /** Recurrent states, those of drafts included. */
  readonly nStates: number;
  readonly chunkMax: number;
  readonly draftMax: number;
}

/** A member's tensors without memory. */
class MemberTensors implements Disposable {
  readonly #context: Context;
  readonly #device: Device;
  readonly #buffers = new Map<string, EmptyBuffer>();

  constructor(device: Device, nTensorsMax: number) {
    this.#device = device;
    this.#context = new Context(device.native, { nTensorsMax });
    this.#context.bufferType = device.bufferType;
  }

  make(type: TensorType, dims: readonly number[], of: BufferType, usage: BufferUsage): Tensor {
    const key = `${of.name} ${usage}`;
    const buffer = this.#buffers.get(key) ?? new EmptyBuffer(this.#device.native, of, usage);
    this.#buffers.set(key, buffer);
    return asPlaceless(this.#context.tensor(type, dims), buffer);
  }

  [Symbol.dispose](): void {
    this.#context[Symbol.dispose]();
    for (const buffer of this.#buffers.values()) buffer[Symbol.dispose]();
  }
}

/** Those parts of a model on one member, the rest on the other; one of the two is the host. */
class DealtModel implements Disposable {
  readonly caches: readonly LayerCacheTensors[];
  readonly #weights = new Map<string, Tensor>();
  readonly #tensors: readonly [MemberTensors, MemberTensors];

  constructor(
    { arch, nStates }: SteppedModel,
    members: readonly [SpreadMember, SpreadMember],
    { first: from, end }: PartRange,
    nCells: number,
  ) {
    const [first, second] = members;
    const nTensorsMax = first.plans.length + 2 * arch.caches.length;
    this.#tensors = [new MemberTensors(first.device, nTensorsMax), new MemberTensors(second.device, nTensorsMax)];
    const at = (isFirst: boolean) =>
      isFirst ? ([first, this.#tensors[0]] as const) : ([second, this.#tensors[1]] as const);
    const isIn = (iPart: number): boolean => iPart >= from && iPart < end;
    const isOnFirst = (spec: WeightSpec): boolean =>
      spec.role === 'embedding' ? first.device.type === 'cpu' : isIn(layerOf(spec) ?? arch.caches.length);
    first.plans.forEach(({ spec }, i) => {
      const [{ plans, device }, tensors] = at(isOnFirst(spec));
      const { type, place } = plans[i] ?? {};
      if (type === undefined) throw new Error('weights are planned in one order on all devices');
      const of = place?.kind === 'buffer' ? place.type : device.bufferType;
      this.#weights.set(spec.name, tensors.make(type, spec.ne, of, 'weights'));
    });
    this.caches = arch.caches.map((layer, i): LayerCacheTensors => {
      const [{ device, kvType }, tensors] = at(isIn(i));
      const make = (type: TensorType, dims: readonly number[]): Tensor =>
        tensors.make(type, dims, device.bufferType, 'any');
      if (layer.kind === 'attention') {
        const shape = [layer.rowLength, nCells];
        return { kind: 'attention', keys: make(kvType, shape), values: make(kvType, shape) };
      }
      const { convLength, stateLength } = layer;
      const { f32 } = tensorTypes;
      return { kind: 'recurrent', conv: make(f32, [convLength, nStates]), state: make(f32, [stateLength, nStates]) };
    });
  }

  readonly weight = (name: string): Tensor => {
    const tensor = this.#weights.get(name);
    if (tensor === undefined) throw new Error(`the model has no weight ${name}`);
    return tensor;
  };

  [Symbol.dispose](): void {
    for (const tensors of this.#tensors) tensors[Symbol.dispose]();
  }
}

/** Bytes of the first member's memory that the largest steps take. Each kind of step has a runner of its own. */
export const spreadComputeBytes = (
  model: SteppedModel,
  members: readonly [SpreadMember, SpreadMember],
  range: PartRange,
  contextMax: number,
): number => {
  const { arch } = model;
  const nCells = roundUp(contextMax, cellAlignment);
  using dealt = new DealtModel(model, members, range, nCells);
  const backends = members.map(({ backend }) => backend);
  // A scheduler wants the host last.
  const [i, ordered] = members[0].device.type === 'cpu' ? [1, backends.toReversed()] : [0, backends];
  const { native } = members[0].device;
  using scheduler = new GraphScheduler(ordered, schedulerSizeOf(arch, { ...model, nWeights: members[0].plans.length }));
  const stepBytes = (shape: StepShape): number => {
    using step = new TextStep(native, arch, dealt, shape);
    return scheduler.measure(step.graph)[i] ?? 0;
  };
  const predictorBytes = (): number => {
    if (arch.predictor === null) return 0;
    const parts = { weight: dealt.weight, caches: dealt.caches, isShared: false };
    using step = new PredictorStep(native, arch, arch.predictor, parts, { firstCell: 0, nCells });
    return scheduler.measure(step.graph)[i] ?? 0;
  };
  const { chunk, kept } = largestSteps(model, contextMax);
  const nBytes = stepBytes(chunk) + Math.max(...kept.map(stepBytes)) + predictorBytes();
  return Math.ceil(nBytes * (1 + layoutShare));
};
