/** A model's weights on a device, by name: in its own memory, in faster layouts of it, or in the file's mapped pages. */
import { CortexError } from '@cortex/core';
import {
  Buffer,
  Context,
  OutOfMemoryError,
  quietly,
  type BufferType,
  type Device,
  type FileMapping,
  type Tensor,
  type TensorSplit,
} from '@cortex/ggml';
import type { Checkpoint, MappedBytes } from './checkpoint.ts';
import type { LoadProgress } from './device-model.ts';
import { mappedBytesOf, type WeightPlan } from './weight-plan.ts';
import type { WeightReader } from './weight-reader.ts';

/** Weights of one buffer. */
interface Group {
  readonly context: Context;
  readonly buffer: Buffer;
}

type Placed = WeightPlan & { readonly place: Extract<WeightPlan['place'], { readonly kind: 'buffer' }> };

interface BufferPlan {
  readonly type: BufferType;
  readonly plans: Placed[];
}

const bytesOf = ({ spec: { ne }, type }: WeightPlan): number =>
  ne.reduce((n, dim) => n * dim, type.blockBytes / type.blockSize);

/** In as few buffers as their types allow, in the order of the weights. */
const byBuffer = (plans: readonly WeightPlan[]): readonly BufferPlan[] => {
  const all: BufferPlan[] = [];
  const open = new Map<string, BufferPlan & { nBytes: number }>();
  for (const plan of plans) {
    const { place } = plan;
    if (place.kind !== 'buffer') continue;
    const { type } = place;
    const nBytes = bytesOf(plan);
    let group = open.get(type.name);
    if (group === undefined || group.nBytes + nBytes > (type.pieceBytesMax ?? Infinity)) {
      group = { type, plans: [], nBytes: 0 };
      open.set(type.name, group);
      all.push(group);
    }
    group.nBytes += nBytes;
    group.plans.push({ ...plan, place });
  }
  return all;
};

const splitsOf = (tensor: (name: string) => Tensor, plans: readonly Placed[]): Map<Tensor, TensorSplit> =>
  new Map(plans.flatMap(({ spec, place: { split } }) => (split === undefined ? [] : [[tensor(spec.name), split]])));

const byMapping = (plans: readonly WeightPlan[]): Map<FileMapping, [WeightPlan, MappedBytes][]> => {
  const groups = new Map<FileMapping, [WeightPlan, MappedBytes][]>();
  for (const plan of plans) {
    if (plan.place.kind !== 'mapped') continue;
    const { bytes } = plan.place;
    groups.set(bytes.mapping, [...(groups.get(bytes.mapping) ?? []), [plan, bytes]]);
  }
  return groups;
};

export class Weights implements Disposable {
  readonly #tensors = new Map<string, Tensor>();
  readonly #plans: readonly WeightPlan[];
  readonly #groups: Group[] = [];
  readonly #mappings: FileMapping[] = [];
  #nBytes = 0;

  /**
   * Allocates without reading. `device` is asked to use mapped memory, if any is planned; other weights are in buffers that
   * the plan names. @throws OutOfMemoryError. */
  constructor(device: Device, plans: readonly WeightPlan[], freeBytes: number) {
    this.#plans = plans;
    try {
      for (const [mapping, group] of byMapping(plans)) this.#useMapped(device, mapping, group);
      this.#allocate(device, plans, freeBytes);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    for (const { spec, place } of plans) {
      if (place.kind === 'shared') this.#tensors.set(spec.name, this.get(place.with));
    }
  }

  /** Bytes of the device's memory, and of the file's that are used in place. */
  get nBytes(): number {
    return this.#nBytes;
  }

  #allocate(device: Device, plans: readonly WeightPlan[], freeBytes: number): void {
    const groups = byBuffer(plans).map(({ type, plans: own }) => ({
      type,
      own,
      context: this.#contextOf(device, own),
    }));
    try {
      const needed = groups.reduce((sum, { context, type }) => sum + Buffer.sizeFor(context, type), 0);
      if (needed > freeBytes) throw new OutOfMemoryError(device.name, needed);
      for (const { context, type, own } of groups) {
        const splits = splitsOf((name) => this.get(name), own);
        this.#keep(context, Buffer.allocate(context, type, 'weights', splits));
      }
    } catch (error) {
      for (const { context } of groups) if (!context.hasMemory) context[Symbol.dispose]();
      throw error;
    }
  }

  #useMapped(device: Device, mapping: FileMapping, group: readonly (readonly [WeightPlan, MappedBytes])[]): void {
    const context = this.#contextOf(
      device,
      group.map(([plan]) => plan),
    );
    const places = new Map(group.map(([{ spec }, { address }]) => [this.get(spec.name), address]));
    const buffer = Buffer.over(context, device.ptr, mapping, places);
    if (buffer === null) {
      context[Symbol.dispose]();
      throw new Error(`${device.name} cannot use mapped memory`);
    }
    this.#mappings.push(mapping.retain());
    this.#groups.push({ context, buffer });
    this.#nBytes += group.reduce((sum, [, { nBytes }]) => sum + nBytes, 0);
  }

  #contextOf(device: Device, plans: readonly WeightPlan[]): Context {
    const context = new Context(device.native, { nTensorsMax: plans.length });
    for (const { spec, type } of plans) {
      this.#tensors.set(spec.name, context.tensor(type, spec.ne).named(spec.name));
    }
    return context;
  }

  #keep(context: Context, buffer: Buffer): void {
    this.#groups.push({ context, buffer });
    this.#nBytes += buffer.nBytes;
  }

  /** Reads every weight, yielding now and then so that the thread can do other work. */
  async fill(
    checkpoint: Checkpoint,
    reader: WeightReader,
    onProgress: (progress: LoadProgress) => void,
  ): Promise<void> {
    const groups = byBuffer(this.#plans).flatMap(({ plans }) => plans);
    const nBytesAll = groups.reduce((sum, { spec }) => sum + this.get(spec.name).nBytes, 0);
    let nBytesDone = 0;
    for (const plan of groups) {
      for (const nBytes of this.#write(checkpoint, reader, plan)) {
        nBytesDone += nBytes;
        onProgress({ fraction: Math.min(1, nBytesDone / nBytesAll), phase: 'reading weights' });
        await new Promise(setImmediate);
      }
    }
  }

  /** Yields the bytes of each piece done. */
  *#write(checkpoint: Checkpoint, reader: WeightReader, { spec, form, type, place }: Placed): Generator<number> {
    const tensor = this.get(spec.name);
    const { native } = tensor.context;
    const mapped = mappedBytesOf(checkpoint, form, type);
    if (mapped !== null) {
      quietly(native, () => tensor.write(mapped.mapping.view(mapped.offset, mapped.nBytes)));
      yield mapped.nBytes;
      return;
    }
    const whole = place.isWhole ? new Uint8Array(tensor.nBytes) : null;
    for (const { bytes, offset } of reader.pieces(spec, form, type)) {
      if (whole === null) tensor.write(bytes, offset);
      else whole.set(bytes, offset);
      yield bytes.length;
    }
    if (whole !== null) quietly(native, () => tensor.write(whole));
  }

  get(name: string): Tensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) throw new Error(`the model has no weight ${name}`);
    return tensor;
  }

  [Symbol.dispose](): void {
    for (const { context, buffer } of this.#groups.splice(0)) {
      buffer[Symbol.dispose]();
      context[Symbol.dispose]();
    }
    for (const mapping of this.#mappings.splice(0)) mapping[Symbol.dispose]();
  }
}

const mb = (nBytes: number): number => Math.ceil(nBytes / 2 ** 20);

export const insufficient = (what: string, where: string, neededBytes: number, freeBytes: number): CortexError =>
  new CortexError(
    'insufficient_vram',
    `${where}: the ${what} need ${mb(neededBytes)} MB, ${mb(freeBytes)} MB are free`,
    { facts: { needed_mb: mb(neededBytes), free_mb: mb(freeBytes) } },
  );
