/**
 * A GGUF model open for reading: one file or the parts of a split one, and the tower's beside it. Files are mapped, so
 * that their weights reach a device without passing through JavaScript, or are used where they lie. Everything about
 * the files is checked on opening, and no read leaves the tensor that it is for.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CortexError } from '@cortex/core';
import { FileMapping, rowBytes, tensorTypes, type TensorType } from '@cortex/ggml';
import { configOfGguf } from '../arch/registry.ts';
import { ggufPartNames, readGgufHeader, readGgufModel, type GgufModel } from '../model-files/gguf-file.ts';
import type { GgufTensorInfo } from '../model-files/gguf-header.ts';
import type { Checkpoint, CheckpointTensor, MappedBytes } from './checkpoint.ts';
import { quoteName } from './safetensors.ts';

interface OpenFile extends Disposable {
  readonly label: string;
  readonly fd: number;
  readonly mapping: FileMapping | null;
}

interface Place {
  readonly file: OpenFile;
  readonly info: GgufTensorInfo;
  /** Null for one that this ggml does not know: an error once it is asked for. */
  readonly tensor: CheckpointTensor | null;
}

/** Integers are no weights: a kernel that is given them crashes. */
const integerTypes: ReadonlySet<TensorType> = new Set([tensorTypes.i32, tensorTypes.i64]);
const typeOfId: ReadonlyMap<number, TensorType> = new Map(
  Object.values(tensorTypes).flatMap((type) => (integerTypes.has(type) ? [] : [[type.id, type]])),
);

const refuse = (label: string, message: string, cause?: unknown): CortexError =>
  new CortexError('model_load_failed', `${label}: ${message}`, { cause });

const tensorOf = ({ name, ne, typeId }: GgufTensorInfo, label: string): CheckpointTensor | null => {
  const type = typeOfId.get(typeId);
  if (type === undefined) return null;
  const [rowLength = 1, ...others] = ne;
  if (rowLength % type.blockSize !== 0) {
    throw refuse(
      label,
      `tensor ${quoteName(name)} has rows of ${rowLength}, no multiple of ${type.name}'s ${type.blockSize}`,
    );
  }
  const nBytes = rowBytes(type, rowLength) * others.reduce((product, n) => product * n, 1);
  return { name, type, shape: ne.toReversed(), nBytes };
};

/** In order of place: each begins where the one before has ended, or later, and ends within the file. */
const checkPlaces = (places: readonly Place[], nFileBytes: number, label: string): void => {
  let end = 0;
  for (const { info, tensor } of places.toSorted((a, b) => a.info.offset - b.info.offset)) {
    if (info.offset < end) throw refuse(label, `tensor ${quoteName(info.name)} overlaps the one before it`);
    end = info.offset + (tensor?.nBytes ?? 0);
    if (end > nFileBytes) {
      throw refuse(
        label,
        `tensor ${quoteName(info.name)} ends at byte ${end} of ${nFileBytes}; the file may be truncated`,
      );
    }
  }
};

/** A model of fewer layers than there are would answer, and wrongly. */
const checkLayers = (names: readonly string[], { metadata, tower }: GgufModel): void => {
  const arch = metadata.text('general.architecture') ?? '';
  for (const [prefix, keys, key] of [
    ['blk.', metadata, `${arch}.block_count`],
    ['v.blk.', tower?.metadata, 'clip.vision.block_count'],
  ] as const) {
    const nLayers = keys?.number(key) ?? Infinity;
    const beyond = names.find(
      (name) => name.startsWith(prefix) && Number.parseInt(name.slice(prefix.length)) >= nLayers,
    );
    if (keys === undefined || beyond === undefined) continue;
    throw refuse(keys.file, `tensor ${quoteName(beyond)} is of a layer beyond the ${nLayers} of block_count`);
  }
};

const openFile = (path: string): OpenFile => {
  const label = basename(path);
  const fd = openSync(path, 'r');
  const mapping = FileMapping.open(path);
  const dispose = (): void => {
    mapping?.[Symbol.dispose]();
    closeSync(fd);
  };
  return { label, fd, mapping, [Symbol.dispose]: dispose };
};

export class GgufCheckpoint implements Checkpoint {
  readonly format = 'gguf';
  readonly label: string;
  readonly config: unknown;
  readonly #files: OpenFile[] = [];
  readonly #places = new Map<string, Place>();
  #isClosed = false;

  private constructor(label: string, config: unknown) {
    this.label = label;
    this.config = config;
  }

  /** @param path The model's only or first file. @throws CortexError `model_load_failed` naming the file at fault. */
  static async open(path: string): Promise<GgufCheckpoint> {
    const model = await readGgufModel(path);
    const checkpoint = new GgufCheckpoint(basename(path), configOfGguf(model));
    const parts = ggufPartNames(basename(path)).map((name) => join(dirname(path), name));
    const nParts = model.metadata.number('split.count') ?? 1;
    if (nParts > 1 && nParts !== parts.length) throw refuse(basename(path), `is part of ${nParts}, and not the first`);
    try {
      for (const file of [...parts, ...(model.tower === null ? [] : [model.tower.path])]) await checkpoint.#add(file);
      checkLayers(checkpoint.names, model);
      return checkpoint;
    } catch (error) {
      checkpoint[Symbol.dispose]();
      throw error;
    }
  }

  async #add(path: string): Promise<void> {
    const { tensors } = await readGgufHeader(path);
    const label = basename(path);
    const file = openFile(path);
    this.#files.push(file);
    const places = tensors.map((info) => ({ file, info, tensor: tensorOf(info, label) }));
    checkPlaces(places, file.mapping?.nBytes ?? statSync(path).size, label);
    for (const place of places) {
      const other = this.#places.get(place.info.name);
      if (other !== undefined) {
        throw refuse(label, `tensor ${quoteName(place.info.name)} is in ${other.file.label}, too`);
      }
      this.#places.set(place.info.name, place);
    }
  }

  get names(): readonly string[] {
    return [...this.#places.keys()];
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  tensor(name: string): CheckpointTensor {
    const { tensor, info } = this.#place(name);
    if (tensor !== null) return tensor;
    throw refuse(this.label, `tensor ${quoteName(name)} is of type ${info.typeId}, which is not supported`);
  }

  mapped({ name }: CheckpointTensor): MappedBytes | null {
    const { file, info, tensor } = this.#place(name);
    if (file.mapping === null || tensor === null) return null;
    const { nBytes } = tensor;
    return { mapping: file.mapping, offset: info.offset, nBytes, address: file.mapping.address + BigInt(info.offset) };
  }

  read({ name }: CheckpointTensor, byteOffset: number, target: Uint8Array): void {
    const { file, info, tensor } = this.#place(name);
    if (this.#isClosed) throw new CortexError('internal_error', `checkpoint ${this.label} is closed`);
    if (!(byteOffset >= 0 && byteOffset + target.byteLength <= (tensor?.nBytes ?? 0))) {
      const range = `${target.byteLength} bytes at ${byteOffset}`;
      throw new CortexError('internal_error', `${range} are not within tensor ${name}`);
    }
    if (file.mapping !== null) {
      target.set(file.mapping.view(info.offset + byteOffset, target.byteLength));
      return;
    }
    for (let nRead = 0; nRead < target.byteLength;) {
      const n = readSync(file.fd, target, nRead, target.byteLength - nRead, info.offset + byteOffset + nRead);
      if (n === 0) throw refuse(file.label, `ends within tensor ${quoteName(name)}; it became shorter`);
      nRead += n;
    }
  }

  #place(name: string): Place {
    const place = this.#places.get(name);
    if (place === undefined) throw refuse(this.label, `tensor ${quoteName(name)} is missing`);
    return place;
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const file of this.#files) file[Symbol.dispose]();
  }
}
