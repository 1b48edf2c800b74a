/**
 * How the devices of a group share a model: every weight and cache that its architecture declares a split for, in whole
 * units and whole blocks of its number type. Decided, or refused with every reason, before anything is allocated.
 */
import { CortexError } from '@cortex/core';
import { sliceShape, tensorTypes, type TensorSplit, type TensorType } from '@cortex/ggml';
import type { ArchModel, LayerCache } from '../arch/arch.ts';
import type { WeightPlan } from './weight-plan.ts';
import type { Split, SplitUnit } from './weight-spec.ts';

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

/** Units that each device gets; null where they cannot be dealt out. */
const dealt = ({ unit, nTogether }: Grain, nDevices: number): readonly number[] | null => {
  const n = unit.count / nTogether;
  if (!Number.isInteger(n) || n < nDevices) return null;
  if (n % nDevices !== 0 && unit.isLoose !== true) return null;
  const share = Math.floor(n / nDevices);
  return Array.from({ length: nDevices }, (_, i) => (share + (i < n % nDevices ? 1 : 0)) * nTogether);
};

const whyNot = ({ unit, nTogether, type }: Grain): string =>
  type === null
    ? `${unit.count} ${unit.name} cannot be shared evenly`
    : `${unit.count} ${unit.name} are ${unit.count / nTogether} blocks of ${nTogether} in ${type.name}, which cannot be shared evenly`;

const refusal = (grains: readonly Grain[], nDevices: number): CortexError => {
  const reasons = grains.filter((grain) => dealt(grain, nDevices) === null).map(whyNot);
  const possible = Array.from({ length: nDevices - 2 }, (_, i) => nDevices - 1 - i).find((n) =>
    grains.every((grain) => dealt(grain, n) !== null),
  );
  const instead = possible === undefined ? '' : `; over ${possible} devices it can`;
  return new CortexError(
    'unsupported_parameter',
    `tensor_parallel ${nDevices} is not possible: over ${nDevices} devices ${reasons.join(', ')}${instead}`,
    { param: 'tensor_parallel', facts: { tensor_parallel: nDevices } },
  );
};

const cacheTensors = (layer: LayerCache, kvType: TensorType): readonly [Shared, Shared] => {
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

/** @throws CortexError `unsupported_parameter` naming everything that does not divide. */
export const planSplits = (
  { caches }: Pick<ArchModel, 'caches'>,
  plans: readonly Pick<WeightPlan, 'spec' | 'type' | 'place'>[],
  kvType: TensorType,
  nDevices: number,
): GroupSplits => {
  const weights = plans.flatMap(({ spec, type, place }) =>
    spec.split === undefined || place.kind === 'shared'
      ? []
      : [{ name: spec.name, split: spec.split, ne: spec.ne, type }],
  );
  const layers = caches.map((layer) => cacheTensors(layer, kvType));
  const grains = grainsOf([...weights, ...layers.flat()]);
  const shares = new Map([...grains].map(([key, grain]) => [key, dealt(grain, nDevices)]));
  const splitOf = (shared: Shared): TensorSplit => {
    const { axis, unit, repeat } = shared.split;
    const nUnits = shares.get(keyOf(unit));
    if (nUnits === null || nUnits === undefined) throw refusal([...grains.values()], nDevices);
    return { axis, repeat, lengths: nUnits.map((n) => n * unitLength(shared)) };
  };
  return {
    nDevices,
    weights: new Map(weights.map((weight) => [weight.name, splitOf(weight)])),
    caches: layers.map(([first, second]) => ({ first: splitOf(first), second: splitOf(second) })),
  };
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
