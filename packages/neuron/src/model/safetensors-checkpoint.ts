/**
 * A folder of safetensors, as on the Hugging Face hub, open for reading. Everything about the files is checked on
 * opening, and no read leaves the tensor that it is for.
 */
import { CortexError } from '@cortex/core';
import { close, closeSync, open, read, readSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { configFile } from '../model-store/checkpoint-folder.ts';
import { readModelJson } from '../model-files/model-json.ts';
import { tensorTypes } from '@cortex/ggml';
import type { Checkpoint, CheckpointTensor } from './checkpoint.ts';
import { findCheckpointFiles, type CheckpointFiles } from './checkpoint-files.ts';
import {
  headerLength,
  isCheckpointDtype,
  lengthBytes,
  parseSafetensorsHeader,
  quoteName,
  type SafetensorsEntry,
} from './safetensors.ts';

const typeOf = { F32: tensorTypes.f32, F16: tensorTypes.f16, BF16: tensorTypes.bf16 } as const;

interface WeightFile {
  /** Folder and name, for messages. */
  readonly label: string;
  readonly fd: number;
  readonly entries: readonly SafetensorsEntry[];
}

/** Where a tensor lies. */
interface Place {
  readonly file: WeightFile;
  readonly entry: SafetensorsEntry;
}

// Descriptors as plain numbers: a FileHandle can only be closed asynchronously.
const openFile = promisify(open);
const closeFile = promisify(close);
const readFileAt = promisify(read);

/** One system call's worth; longer ones are cut short by some systems. */
const readBytesMax = 2 ** 30;

const loadFailed = (message: string, cause?: unknown): CortexError =>
  new CortexError('model_load_failed', message, { cause });

const errorCode = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unknown error';

const readStart = async (fd: number, nBytes: number, position: number, label: string): Promise<Uint8Array> => {
  const bytes = new Uint8Array(nBytes);
  let nRead = 0;
  while (nRead < nBytes) {
    const { bytesRead } = await readFileAt(fd, bytes, nRead, nBytes - nRead, position + nRead);
    if (bytesRead === 0) throw loadFailed(`${label}: ends at byte ${position + nRead}, within its header`);
    nRead += bytesRead;
  }
  return bytes;
};

const readHeader = async (fd: number, nFileBytes: number, label: string): Promise<readonly SafetensorsEntry[]> => {
  const start = await readStart(fd, Math.min(lengthBytes, nFileBytes), 0, label);
  const header = await readStart(fd, headerLength(start, nFileBytes, label), lengthBytes, label);
  return parseSafetensorsHeader(header, nFileBytes, label);
};

const openWeightFile = async (path: string, label: string): Promise<WeightFile> => {
  let fd: number | null = null;
  try {
    const info = await stat(path);
    // Opening a pipe would wait for its other end.
    if (!info.isFile()) throw loadFailed(`${label}: is not a file`);
    fd = await openFile(path, 'r');
    return { label, fd, entries: await readHeader(fd, info.size, label) };
  } catch (error) {
    if (fd !== null) await closeFile(fd);
    if (error instanceof CortexError) throw error;
    throw loadFailed(`${label}: cannot be read (${errorCode(error)})`, error);
  }
};

const placesWithoutIndex = (files: readonly WeightFile[]): ReadonlyMap<string, Place> => {
  const places = new Map<string, Place>();
  for (const file of files) {
    for (const entry of file.entries) {
      const other = places.get(entry.name);
      if (other !== undefined)
        throw loadFailed(`tensor ${quoteName(entry.name)} is both in ${other.file.label} and in ${file.label}`);
      places.set(entry.name, { file, entry });
    }
  }
  return places;
};

const placesOfIndex = (
  files: ReadonlyMap<string, WeightFile>,
  fileOfTensor: ReadonlyMap<string, string>,
): ReadonlyMap<string, Place> => {
  const entriesOf = new Map(
    [...files].map(([name, file]) => [name, new Map(file.entries.map((entry) => [entry.name, entry]))]),
  );
  const places = new Map<string, Place>();
  for (const [tensor, name] of fileOfTensor) {
    const file = files.get(name);
    const entry = entriesOf.get(name)?.get(tensor);
    if (file === undefined || entry === undefined)
      throw loadFailed(`${file?.label ?? name}: lacks tensor ${quoteName(tensor)}, which the index puts there`);
    places.set(tensor, { file, entry });
  }
  return places;
};

interface Weights {
  /** All that are open, those without a tensor too. */
  readonly files: readonly WeightFile[];
  readonly places: ReadonlyMap<string, Place>;
}

const openWeightFiles = async (dir: string, { files: names, fileOfTensor }: CheckpointFiles): Promise<Weights> => {
  const opened = new Map<string, WeightFile>();
  try {
    for (const name of names) opened.set(name, await openWeightFile(join(dir, name), `${basename(dir)}/${name}`));
    const files = [...opened.values()];
    return { files, places: fileOfTensor === null ? placesWithoutIndex(files) : placesOfIndex(opened, fileOfTensor) };
  } catch (error) {
    for (const { fd } of opened.values()) closeSync(fd);
    throw error;
  }
};

/** @throws CortexError `model_load_failed` naming the tensor, its shape and the one wanted. */
export const expectShape = (tensor: CheckpointTensor, shape: readonly number[]): void => {
  if (tensor.shape.length === shape.length && tensor.shape.every((n, i) => n === shape[i])) return;
  throw loadFailed(
    `tensor ${quoteName(tensor.name)} has shape [${tensor.shape.join(', ')}], expected [${shape.join(', ')}]`,
  );
};

export class SafetensorsCheckpoint implements Checkpoint {
  readonly format = 'safetensors';
  readonly label: string;
  readonly config: unknown;
  readonly #weights: Weights;
  #isClosed = false;

  private constructor(label: string, config: unknown, weights: Weights) {
    this.label = label;
    this.config = config;
    this.#weights = weights;
  }

  /**
   * Opens the config and every weight file of `dir` and checks all headers.
   * @throws CortexError `model_load_failed` naming the folder, and the file and tensor at fault.
   */
  static async open(dir: string): Promise<SafetensorsCheckpoint> {
    const folder = basename(dir);
    const config = await readModelJson(z.looseObject({}), dir, configFile);
    if (config === null) throw loadFailed(`${folder}: ${configFile} is missing`);
    return new SafetensorsCheckpoint(folder, config, await openWeightFiles(dir, await findCheckpointFiles(dir)));
  }

  get names(): readonly string[] {
    return [...this.#weights.places.keys()];
  }

  has(name: string): boolean {
    return this.#weights.places.has(name);
  }

  tensor(name: string): CheckpointTensor {
    const { dtype, shape, nBytes } = this.#place(name).entry;
    if (!isCheckpointDtype(dtype)) {
      const message = `tensor ${quoteName(name)} of checkpoint ${this.label} is of type ${quoteName(dtype)}`;
      throw loadFailed(`${message}, which is not supported`);
    }
    return { name, type: typeOf[dtype], shape, nBytes };
  }

  /** Their data begin anywhere, where no kernel may read. */
  mapped(): null {
    return null;
  }

  read(tensor: CheckpointTensor, byteOffset: number, target: Uint8Array): void {
    const { file, entry } = this.#place(tensor.name);
    // Numbers of closed descriptors are given to other files.
    if (this.#isClosed) throw new CortexError('internal_error', `checkpoint ${this.label} is closed`);
    if (!Number.isSafeInteger(byteOffset) || byteOffset < 0 || byteOffset + target.byteLength > entry.nBytes) {
      const range = `${target.byteLength} bytes at ${byteOffset}`;
      throw new CortexError('internal_error', `${range} are not within tensor ${entry.name} of ${entry.nBytes}`);
    }
    const position = entry.offset + byteOffset;
    let nRead = 0;
    while (nRead < target.byteLength) {
      const nWanted = Math.min(target.byteLength - nRead, readBytesMax);
      const n = this.#readAt(file, target, nRead, nWanted, position + nRead);
      if (n === 0) throw loadFailed(`${file.label}: ends within tensor ${quoteName(entry.name)}; it became shorter`);
      nRead += n;
    }
  }

  #readAt(file: WeightFile, target: Uint8Array, start: number, nBytes: number, position: number): number {
    try {
      return readSync(file.fd, target, start, nBytes, position);
    } catch (error) {
      throw loadFailed(`${file.label}: cannot be read (${errorCode(error)})`, error);
    }
  }

  #place(name: string): Place {
    const place = this.#weights.places.get(name);
    if (place === undefined) throw loadFailed(`tensor ${quoteName(name)} is missing from checkpoint ${this.label}`);
    return place;
  }

  /** A second call does nothing. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const { fd } of this.#weights.files) closeSync(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
