/**
 * How the devices of a group share a model: every weight and cache that its architecture declares a split for, in whole
 * units and whole blocks of its number type. Decided, or refused with every reason, before anything is allocated.
 */
import { CortexError, dealPieces, evenShares } from '@cortex/core';
import { sliceShape, tensorTypes, type TensorSplit, type TensorType } from '@cortex/ggml';
import type { ArchModel, LayerCache } from '../arch/arch.ts';
import type { SharedPart } from './memory-plan.ts';
import type { WeightPlan } from './weight-plan.ts';
import type { Split, SplitUnit, WeightSpec } from './weight-spec.ts';

export interface CacheSplits {
  /** Of keys and values alike, or of the convolution's inputs. */
  readonly first: TensorSplit;
  /** Of values, or of the delta rule's matrix. */
  readonly second: TensorSplit;
}

export interface GroupSplits {
  readonly nDevices: number;
  /** By the weight's name; one that is not there is whole on every device. */
  readonly weights: ReadonlyMap<string, TensorSplit>;
  /** By layer. */
  readonly caches: readonly CacheSplits[];
}

/** A tensor that is shared. */
interface Shared {
  readonly split: Split;
  readonly ne: readonly number[];
  readonly type: TensorType;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
const lcm = (a: number, b: number): number => (a / gcd(a, b)) * b;

const unitLength = ({ split: { axis, unit, repeat }, ne }: Shared): number => {
  const length = (ne[axis] ?? 1) / (unit.count * repeat);
  if (Number.isInteger(length)) return length;
  throw new Error(`an axis of ${ne[axis]} holds no ${repeat} × ${unit.count} ${unit.name}`);
};

/** How many units make up whole blocks. */
const unitsPerBlock = (shared: Shared): number => {
  if (shared.split.axis !== 0) return 1;
  const { blockSize } = shared.type;
  return blockSize / gcd(blockSize, unitLength(shared));
};

/** Whether so many devices can each have whole blocks of a weight of this type. */
export const canDeal = (
  { ne, split }: Pick<WeightSpec, 'ne' | 'split'>,
  type: TensorType,
  nDevices: number,
): boolean => {
  if (split === undefined) return true;
  const n = split.unit.count / unitsPerBlock({ split, ne, type });
  return Number.isInteger(n) && n >= nDevices;
};

/** A unit with the most of them that some tensor's blocks hold together, and the type that has such blocks. */
interface Grain {
  readonly unit: SplitUnit;
  readonly nTogether: number;
  readonly type: TensorType | null;
}

const keyOf = ({ name, count }: SplitUnit): string => `${count} ${name}`;

const grainsOf = (all: readonly Shared[]): ReadonlyMap<string, Grain> => {
  const grains = new Map<string, Grain>();
  for (const shared of all) {
    const { unit } = shared.split;
    const before = grains.get(keyOf(unit)) ?? { unit, nTogether: 1, type: null };
    const n = unitsPerBlock(shared);
    const nTogether = lcm(before.nTogether, n);
    const type = n > 1 && nTogether > before.nTogether ? shared.type : before.type;
    grains.set(keyOf(unit), { unit, nTogether, type });
  }
  return grains;
};

/** Units that each device gets, as near to its share as whole blocks allow; null where one would get none. */
const dealt = ({ unit, nTogether }: Grain, shares: readonly number[]): readonly number[] | null =>
  dealPieces(unit.count / nTogether, shares)?.map((n) => n * nTogether) ?? null;

const whyNot = ({ unit: { name, count }, nTogether, type }: Grain): string => {
  if (type === null) return `there are only ${count} ${name}`;
  const n = count / nTogether;
  return Number.isInteger(n)
    ? `the ${count} ${name} are only ${n} blocks of ${nTogether} in ${type.name}`
    : `the ${count} ${name} are no whole blocks of ${nTogether} in ${type.name}`;
};

const refusal = (grains: readonly Grain[], nDevices: number): CortexError => {
  const isPossible = (grain: Grain, n: number): boolean => dealt(grain, evenShares(n)) !== null;
  const reasons = grains.filter((grain) => !isPossible(grain, nDevices)).map(whyNot);
  const fewer = Array.from({ length: nDevices - 2 }, (_, i) => nDevices - 1 - i);
  const possible = fewer.find((n) => grains.every((grain) => isPossible(grain, n)));
  const instead = possible === undefined ? '' : `; over ${possible} devices it is`;
  return new CortexError(
    'unsupported_parameter',
    `tensor_parallel ${nDevices} is not possible: ${reasons.join(', ')}${instead}`,
    { param: 'tensor_parallel', facts: { tensor_parallel: nDevices } },
  );
};

type CacheTensors = readonly [Shared, Shared];

const cacheTensors = (layer: LayerCache, kvType: TensorType): CacheTensors => {
  if (layer.kind === 'attention') {
    const keys = { split: layer.split, ne: [layer.rowLength], type: kvType };
    return [keys, keys];
  }
  const { f32 } = tensorTypes;
  return [
    { split: layer.convSplit, ne: [layer.convLength], type: f32 },
    { split: layer.stateSplit, ne: [layer.stateLength], type: f32 },
  ];
};

type Planned = Pick<WeightPlan, 'spec' | 'type' | 'place'>;

/** Everything that is shared: weights by name, and the two tensors of each layer's cache. */
const sharedTensors = (
  { caches }: Pick<ArchModel, 'caches'>,
  plans: readonly Planned[],
  kvType: TensorType,
): { readonly weights: readonly (Shared & { readonly name: string })[]; readonly layers: readonly CacheTensors[] } => ({
  weights: plans.flatMap(({ spec, type, place }) =>
    spec.split === undefined || place.kind === 'shared'
      ? []
      : [{ name: spec.name, split: spec.split, ne: spec.ne, type }],
  ),
  layers: caches.map((layer) => cacheTensors(layer, kvType)),
});

/**
 * @param shares of each device, in any measure: each gets as much as it has of all of them, as near as whole units allow.
 * @throws CortexError `unsupported_parameter` naming everything that there is too little of.
 */
export const planSplits = (
  arch: Pick<ArchModel, 'caches'>,
  plans: readonly Planned[],
  kvType: TensorType,
  shares: readonly number[],
): GroupSplits => {
  const { weights, layers } = sharedTensors(arch, plans, kvType);
  const grains = grainsOf([...weights, ...layers.flat()]);
  const counts = new Map([...grains].map(([key, grain]) => [key, dealt(grain, shares)]));
  const splitOf = (shared: Shared): TensorSplit => {
    const { axis, unit, repeat } = shared.split;
    const nUnits = counts.get(keyOf(unit));
    if (nUnits === null || nUnits === undefined) throw refusal([...grains.values()], shares.length);
    return { axis, repeat, lengths: nUnits.map((n) => n * unitLength(shared)) };
  };
  return {
    nDevices: shares.length,
    weights: new Map(weights.map((weight) => [weight.name, splitOf(weight)])),
    caches: layers.map(([first, second]) => ({ first: splitOf(first), second: splitOf(second) })),
  };
};

const bytesOf = ({ ne, type }: Shared): number => ne.reduce((n, dim) => n * dim, type.blockBytes / type.blockSize);

const sumBytes = (tensors: readonly Shared[]): number => tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0);

/** What is dealt out, by kind: whole blocks of units, with what each takes. A cache counts for one token, a state for one. */
export const sharedParts = (
  arch: Pick<ArchModel, 'caches'>,
  plans: readonly Planned[],
  kvType: TensorType,
): readonly SharedPart[] => {
  const { weights, layers } = sharedTensors(arch, plans, kvType);
  const cachesOf = (kind: LayerCache['kind']): readonly Shared[] =>
    layers.flatMap((tensors, i) => (arch.caches[i]?.kind === kind ? tensors : []));
  const [kv, states] = [cachesOf('attention'), cachesOf('recurrent')];
  return [...grainsOf([...weights, ...kv, ...states])].map(([key, { unit, nTogether }]) => {
    const count = unit.count / nTogether;
    const each = (tensors: readonly Shared[]): number =>
      sumBytes(tensors.filter(({ split }) => keyOf(split.unit) === key)) / count;
    return {
      name: unit.name,
      count,
      weightBytes: each(weights),
      kvBytesPerToken: each(kv),
      stateBytes: each(states),
    };
  });
};

const lengthOn = (n: number, split: TensorSplit, iDevice: number): number => sliceShape([n], split, iDevice)[0] ?? 0;

/** The caches as one device has them. */
export const cachesOn = (
  layers: readonly LayerCache[],
  { caches }: GroupSplits,
  iDevice: number,
): readonly LayerCache[] =>
  layers.map((layer, i) => {
    const splits = caches[i];
    if (splits === undefined) throw new Error(`layer ${i} has no split`);
    return layer.kind === 'attention'
      ? { ...layer, rowLength: lengthOn(layer.rowLength, splits.first, iDevice) }
      : {
          ...layer,
          convLength: lengthOn(layer.convLength, splits.first, iDevice),
          stateLength: lengthOn(layer.stateLength, splits.second, iDevice),
        };
  });
