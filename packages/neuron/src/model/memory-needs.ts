/**
 * What a model's weights, caches and graphs take on a device, measured with ggml's own allocator over tensors that
 * have no memory: nothing is allocated here.
 */
import {
  asPlaceless,
  bytesIn,
  Context,
  GraphAllocator,
  tensorTypes,
  type BufferType,
  type Device,
  type Tensor,
  type TensorType,
} from '@cortex/ggml';
import type { ArchModel, LayerCache, LayerCacheTensors } from '../arch/arch.ts';
import { kvBytesPerToken, stateBytesPerSlot } from './caches.ts';
import { cellAlignment, type MemoryNeeds } from './memory-plan.ts';
import { PredictorStep } from './predictor-steps.ts';
import { roundUp } from './step-inputs.ts';
import { TextStep, type StepShape } from './text-step.ts';
import { TowerGraph } from './tower-graph.ts';
import type { WeightPlan } from './weight-plan.ts';

export interface MeasuredModel {
  readonly device: Device;
  readonly arch: ArchModel;
  readonly plans: readonly WeightPlan[];
  readonly kvType: TensorType;
  /** Sequences at once. */
  readonly nSlots: number;
  /** Recurrent states, those of drafts included. */
  readonly nStates: number;
  readonly chunkMax: number;
  readonly draftMax: number;
  /** Patches of the largest image. */
  readonly patchesMax: number;
  /** What this device has of it where several share it; by default all. */
  readonly share?: ModelShare;
}

/** One device's part of a model. Intermediate results have the same size on all, as if none were shared. */
export interface ModelShare {
  /** Of the shapes that they have here. */
  readonly plans: readonly WeightPlan[];
  readonly caches: readonly LayerCache[];
  readonly hasTower: boolean;
  readonly nDevices: number;
}

export interface LargestSteps {
  /** At the end of a long prompt. */
  readonly chunk: StepShape;
  /** Of those whose graphs are kept: one token of every sequence, and a draft. */
  readonly kept: readonly StepShape[];
}

export const largestSteps = (
  { nSlots, chunkMax, draftMax }: Pick<MeasuredModel, 'nSlots' | 'chunkMax' | 'draftMax'>,
  contextMax: number,
): LargestSteps => {
  const nCells = roundUp(contextMax, cellAlignment);
  const row = { slot: 0, slotAfter: 0, firstCell: 0, nCells };
  const ofOne = (nTokens: number, nOutputs: number): StepShape => ({
    nTokens: Math.min(nTokens, nCells),
    rows: [row],
    splices: [],
    output: 'columns',
    nOutputs: Math.min(nOutputs, nCells),
  });
  const decode: StepShape = {
    nTokens: 1,
    rows: Array.from({ length: nSlots }, (_, slot) => ({ ...row, slot, slotAfter: slot })),
    splices: [],
    output: 'columns',
    nOutputs: nSlots,
  };
  // A draft begins with a token that is known, and takes along those that the state has yet to see.
  const draft = ofOne(2 * draftMax + 1, draftMax + 1);
  return { chunk: ofOne(chunkMax, 1), kept: draftMax === 0 ? [decode] : [decode, draft] };
};

/** Bytes of the device's memory: neither mapped nor shared ones. */
export const weightBytes = ({ native }: Device, plans: readonly WeightPlan[]): number => {
  using context = new Context(native, { nTensorsMax: Math.max(1, plans.length) });
  const byType = new Map<string, { readonly type: BufferType; readonly tensors: Tensor[] }>();
  for (const { spec, type, place } of plans) {
    if (place.kind !== 'buffer') continue;
    const group = byType.get(place.type.name) ?? { type: place.type, tensors: [] };
    byType.set(place.type.name, group);
    group.tensors.push(asPlaceless(context.tensor(type, spec.ne)));
  }
  return [...byType.values()].reduce((sum, { type, tensors }) => sum + bytesIn(native, type, tensors), 0);
};

/** Weights and caches by name, without memory. */
class PlacelessModel implements Disposable {
  readonly caches: readonly LayerCacheTensors[];
  readonly #weights = new Map<string, Tensor>();
  readonly #context: Context;
  readonly #parts: MeasuredModel;

  constructor(parts: MeasuredModel, nCells: number) {
    const { device, arch, plans, kvType, nStates } = parts;
    this.#parts = parts;
    const context = new Context(device.native, { nTensorsMax: plans.length + 2 * arch.caches.length });
    this.#context = context;
    const make = (type: TensorType, dims: readonly number[]): Tensor => asPlaceless(context.tensor(type, dims));
    for (const { spec, type } of plans) this.#weights.set(spec.name, make(type, spec.ne));
    this.caches = arch.caches.map((layer): LayerCacheTensors => {
      if (layer.kind === 'attention') {
        const shape = [layer.rowLength, nCells];
        return { kind: 'attention', keys: make(kvType, shape), values: make(kvType, shape) };
      }
      const [conv, state] = [layer.convLength, layer.stateLength].map((n) => make(tensorTypes.f32, [n, nStates]));
      if (conv === undefined || state === undefined) throw new Error('a recurrent layer has two states');
      return { kind: 'recurrent', conv, state };
    });
  }

  readonly weight = (name: string): Tensor => {
    const tensor = this.#weights.get(name);
    if (tensor === undefined) throw new Error(`the model has no weight ${name}`);
    return tensor;
  };

  stepBytes(shape: StepShape): number {
    const { arch, device } = this.#parts;
    using step = new TextStep(device.native, arch, this, shape);
    return GraphAllocator.sizeFor(device.native, device.bufferType, step.graph);
  }

  predictorBytes(nCells: number): number {
    const { arch, device, share } = this.#parts;
    if (arch.predictor === null) return 0;
    const parts = { weight: this.weight, caches: this.caches, isShared: share !== undefined };
    using step = new PredictorStep(device.native, arch, arch.predictor, parts, { firstCell: 0, nCells });
    return GraphAllocator.sizeFor(device.native, device.bufferType, step.graph);
  }

  towerBytes(): number {
    const { arch, device, patchesMax, share } = this.#parts;
    const tower = arch.vision;
    if (tower === null || patchesMax === 0) return 0;
    const side = Math.max(tower.mergeSize, roundUp(Math.sqrt(patchesMax), tower.mergeSize));
    const nTokens = side ** 2 / tower.mergeSize ** 2;
    using rows = new Context(device.native, { nTensorsMax: 1 });
    const embeds = asPlaceless(rows.tensor(tensorTypes.f32, [arch.hiddenSize, nTokens]));
    if (share?.hasTower === false) return embeds.nBytes;
    using step = new TowerGraph(device.native, tower, { weight: this.weight, embeds }, { h: side, w: side });
    // Handed on to a group, they are there twice.
    const nCopies = share === undefined ? 1 : 2;
    return GraphAllocator.sizeFor(device.native, device.bufferType, step.graph) + nCopies * embeds.nBytes;
  }

  [Symbol.dispose](): void {
    this.#context[Symbol.dispose]();
  }
}

/** Where devices add up parts of sums: one value of each arrives for every time that the group halves. */
const summingBytes = ({ arch, share }: MeasuredModel, nTokens: number): number =>
  share === undefined ? 0 : Math.ceil(Math.log2(share.nDevices)) * arch.summedLength * nTokens * 4;

/** What of the needs depends on the device's share. */
export const measureShare = ({
  device,
  arch,
  kvType,
  nStates,
  share,
  plans,
}: MeasuredModel): Pick<MemoryNeeds, 'weightBytes' | 'kvBytesPerToken' | 'stateBytes'> => {
  const caches = share?.caches ?? arch.caches;
  return {
    weightBytes: weightBytes(device, share?.plans ?? plans),
    kvBytesPerToken: kvBytesPerToken(caches, kvType),
    stateBytes: stateBytesPerSlot(caches) * nStates,
  };
};

/** Measures what does not depend on the context at once, the rest when asked. */
export const measureNeeds = (parts: MeasuredModel): MemoryNeeds => {
  const { nSlots } = parts;
  using fixed = new PlacelessModel(parts, cellAlignment);
  return {
    ...measureShare(parts),
    towerBytes: fixed.towerBytes(),
    computeBytes: (contextMax) => {
      const { chunk, kept } = largestSteps(parts, contextMax);
      const nCells = roundUp(contextMax, cellAlignment);
      using model = new PlacelessModel(parts, nCells);
      const nTokensMax = Math.max(nSlots, chunk.nTokens, ...kept.map(({ nTokens }) => nTokens));
      const steps = model.stepBytes(chunk) + Math.max(...kept.map((shape) => model.stepBytes(shape)));
      return steps + model.predictorBytes(nCells) + summingBytes(parts, nTokensMax);
    },
  };
};
