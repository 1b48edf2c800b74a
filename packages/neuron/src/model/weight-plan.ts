/**
 * Where each weight comes from, as which type it is stored, and in which memory: decided for the whole model before
 * anything is allocated or read.
 */
import { CortexError } from '@cortex/core';
import {
  supportsRows,
  takesWeight,
  tensorTypes,
  weightBufferTypes,
  type BufferType,
  type Device,
  type TensorSplit,
  type TensorType,
} from '@cortex/ggml';
import type { Checkpoint, MappedBytes } from './checkpoint.ts';
import { canDeal } from './split-plan.ts';
import { partOf, rowsOf, type CheckpointPart, type WeightForm, type WeightSpec } from './weight-spec.ts';
import { finerType, fittingType, isQuantised, quantTypes, weightTypeOf, type WeightType } from './weight-types.ts';

export type WeightPlace =
  | {
      readonly kind: 'buffer';
      readonly type: BufferType;
      /** Written at once or not at all. */
      readonly isWhole: boolean;
      /** How the devices of a group share it, where they do. */
      readonly split?: TensorSplit;
    }
  /** The file's own pages. */
  | { readonly kind: 'mapped'; readonly bytes: MappedBytes }
  /** Another weight of the same values and type. */
  | { readonly kind: 'shared'; readonly with: string };

export interface WeightPlan {
  readonly spec: WeightSpec;
  readonly form: WeightForm;
  readonly type: TensorType;
  readonly place: WeightPlace;
  /** The type that it would have if its rows could be made of that. */
  readonly insteadOf?: TensorType;
}

/** Addresses that the CPU's kernels may be given. */
const mappedAlignment = 32n;

const withoutOnes = (shape: readonly number[]): readonly number[] => shape.filter((n) => n !== 1);

const sameShape = (a: readonly number[], b: readonly number[]): boolean => {
  const [x, y] = [withoutOnes(a), withoutOnes(b)];
  return x.length === y.length && x.every((n, i) => n === y[i]);
};

const shown = (dims: readonly number[]): string => `[${dims.join(', ')}]`;

const checkPart = (checkpoint: Checkpoint, { name, shape }: CheckpointPart): void => {
  const tensor = checkpoint.tensor(name);
  if (sameShape(tensor.shape, shape)) return;
  throw new CortexError(
    'model_load_failed',
    `tensor ${name} is ${shown(tensor.shape)}, the configuration makes it ${shown(shape)}`,
  );
};

/** The form in which this checkpoint has the weight. @throws CortexError `model_load_failed`: missing, or another shape. */
export const formIn = (checkpoint: Checkpoint, spec: WeightSpec): WeightForm => {
  const usual: WeightForm = checkpoint.format === 'gguf' ? { parts: [partOf(spec)] } : spec;
  const others = checkpoint.format === 'gguf' ? (spec.gguf ?? []) : [];
  const isThere = ({ parts }: WeightForm): boolean => parts.every(({ name }) => checkpoint.has(name));
  const form = [...others, usual].find(isThere) ?? usual;
  rowsOf(spec, form);
  for (const part of form.parts) checkPart(checkpoint, part);
  return form;
};

/** Type of the weight's rows in the checkpoint; f32 where its parts differ. */
export const sourceTypeOf = (checkpoint: Checkpoint, { parts }: WeightForm): TensorType => {
  const types = new Set(parts.map(({ name }) => checkpoint.tensor(name).type));
  const [only] = types;
  return only === undefined || types.size > 1 ? tensorTypes.f32 : only;
};

const isPlain = ({ parts, rowOrder, mapRow, isSum }: WeightForm): boolean =>
  parts.length === 1 && rowOrder === undefined && mapRow === undefined && isSum !== true;

/** The file's own bytes of the weight where it holds them as they are wanted. */
export const mappedBytesOf = (checkpoint: Checkpoint, form: WeightForm, type: TensorType): MappedBytes | null => {
  const [part] = form.parts;
  if (part === undefined || !isPlain(form)) return null;
  const tensor = checkpoint.tensor(part.name);
  return tensor.type === type ? checkpoint.mapped(tensor) : null;
};

/** What must be whole blocks: a row, or what each device has of every run of it where they can have alike. */
const pieceLength = ({ ne: [rowLength = 1], split }: WeightSpec, nDevices: number): number => {
  if (nDevices === 1 || split?.axis !== 0) return rowLength;
  const piece = rowLength / (split.repeat * nDevices);
  return Number.isInteger(piece) ? piece : rowLength / split.repeat;
};

export interface PlanOptions {
  readonly device: Device;
  readonly wanted: WeightType;
  /** That share the weights: several have them in memory of theirs, which the file's pages and faster layouts are not. */
  readonly nDevices: number;
  /** False where weights of the same values may be on different devices: each is then there by itself. */
  readonly mayTie?: boolean;
}

class WeightPlanner {
  readonly #checkpoint: Checkpoint;
  readonly #device: Device;
  readonly #wanted: WeightType;
  readonly #nDevices: number;
  readonly #mayTie: boolean;
  readonly #faster: readonly BufferType[];
  readonly #byName = new Map<string, WeightPlan>();
  /** A model has hundreds of weights of a few shapes. */
  readonly #answers = new Map<string, BufferType | null>();

  constructor(checkpoint: Checkpoint, { device, wanted, nDevices, mayTie = true }: PlanOptions) {
    this.#nDevices = nDevices;
    this.#checkpoint = checkpoint;
    this.#device = device;
    this.#wanted = wanted;
    this.#mayTie = mayTie;
    this.#faster = nDevices > 1 ? [] : weightBufferTypes(device);
  }

  plan(spec: WeightSpec): WeightPlan {
    const form = formIn(this.#checkpoint, spec);
    const source = sourceTypeOf(this.#checkpoint, form);
    const type = this.#typeOf(spec, source);
    const asked = this.#wanted === 'auto' ? source : quantTypes[this.#wanted];
    const isFiner = spec.role === 'linear' && isQuantised(asked) && type !== asked;
    const place = this.#placeOf(spec, form, type);
    const plan: WeightPlan = { spec, form, type, place, ...(isFiner && { insteadOf: asked }) };
    this.#byName.set(spec.name, plan);
    return plan;
  }

  #typeOf(spec: WeightSpec, source: TensorType): TensorType {
    const rowLength = pieceLength(spec, this.#nDevices);
    const isHost = this.#device.type === 'cpu';
    const type = weightTypeOf(this.#wanted, { role: spec.role, rowLength, source, isHost });
    if (isQuantised(source) && isQuantised(type) && type !== source) throw quantisedAlready(this.#wanted, source);
    // What is quantised already is not quantised again: it keeps its type, or has none.
    const isDealt = (one: TensorType): boolean =>
      canDeal(spec, one, this.#nDevices) && (one === type || !isQuantised(source) || !isQuantised(one));
    if (this.#nDevices > 1 && isQuantised(type) && !isDealt(type)) return finerType(type, isDealt);
    if (spec.role !== 'embedding') return type;
    // Some devices take no rows out of some types.
    const finer = [type, fittingType(tensorTypes.q8_0, rowLength), tensorTypes.f16];
    return finer.find((candidate) => supportsRows(this.#device, candidate, spec.ne)) ?? tensorTypes.f32;
  }

  #placeOf(spec: WeightSpec, form: WeightForm, type: TensorType): WeightPlace {
    const faster = spec.role === 'exact' || spec.role === 'embedding' ? null : this.#fasterFor(type, spec.ne);
    if (faster !== null) return { kind: 'buffer', type: faster, isWhole: true };
    const tied = spec.tiedTo === undefined || !this.#mayTie ? undefined : this.#byName.get(spec.tiedTo);
    if (tied?.type === type) return { kind: 'shared', with: tied.spec.name };
    const mayMap = this.#device.type === 'cpu' && this.#nDevices === 1;
    const bytes = mayMap ? mappedBytesOf(this.#checkpoint, form, type) : null;
    if (bytes !== null && bytes.address % mappedAlignment === 0n) return { kind: 'mapped', bytes };
    return { kind: 'buffer', type: this.#device.bufferType, isWhole: false };
  }

  #fasterFor(type: TensorType, ne: readonly number[]): BufferType | null {
    const key = `${type.name} ${ne.join(' ')}`;
    const known = this.#answers.get(key);
    if (known !== undefined) return known;
    const found = this.#faster.find((bufferType) => takesWeight(this.#device, bufferType, type, ne)) ?? null;
    this.#answers.set(key, found);
    return found;
  }
}

/** What files may have beside a matrix: a vector to add to its products, a factor for them. */
const companions = ['bias', 'scale'] as const;

/** A GGUF file has none in vain: without them the model would answer, and wrongly. */
const checkCompanions = (checkpoint: Checkpoint, plans: readonly WeightPlan[]): void => {
  if (checkpoint.format !== 'gguf') return;
  const used = new Set(plans.flatMap(({ form }) => form.parts.map(({ name }) => name)));
  for (const name of used) {
    if (!name.endsWith('.weight')) continue;
    const stem = name.slice(0, -'weight'.length);
    const unused = companions.map((kind) => stem + kind).find((other) => checkpoint.has(other) && !used.has(other));
    if (unused === undefined) continue;
    throw new CortexError('model_load_failed', `tensor ${unused} has no place in this architecture`);
  }
};

/** How many weights have a type instead of another: those whose rows, or parts of rows, are no whole blocks of that. */
export interface FinerWeights {
  readonly insteadOf: string;
  readonly type: string;
  readonly count: number;
}

export const finerWeights = (plans: readonly WeightPlan[]): readonly FinerWeights[] => {
  const byTypes = new Map<string, FinerWeights>();
  for (const { type, insteadOf } of plans) {
    if (insteadOf === undefined) continue;
    const key = `${insteadOf.name} ${type.name}`;
    const count = (byTypes.get(key)?.count ?? 0) + 1;
    byTypes.set(key, { insteadOf: insteadOf.name, type: type.name, count });
  }
  return [...byTypes.values()];
};

const quantisedAlready = (wanted: WeightType, source: TensorType): CortexError =>
  new CortexError(
    'unsupported_parameter',
    `the weights are quantised already (${source.name}): load them without quant, not as ${wanted}`,
    { param: 'quant' },
  );

/**
 * A plan for every weight, in the order of `specs`.
 * @throws CortexError `model_load_failed` for missing, misshapen or left-over tensors, `unsupported_parameter` for quantised ones
 * that are to be quantised otherwise.
 */
export const planWeights = (
  checkpoint: Checkpoint,
  specs: readonly WeightSpec[],
  options: PlanOptions,
): readonly WeightPlan[] => {
  const planner = new WeightPlanner(checkpoint, options);
  const plans = specs.map((spec) => planner.plan(spec));
  checkCompanions(checkpoint, plans);
  return plans;
};
