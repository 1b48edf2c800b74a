/** For tests and benchmarks: the tensors of a Hugging Face folder as f32 values, any range of them at a time. */
import { openLibrary, tensorTypes, toF32 } from '@cortex/ggml';
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  headerLength,
  lengthBytes,
  parseSafetensorsHeader,
  type SafetensorsEntry,
} from '../../src/model/safetensors.ts';

const storedTypes = { F32: tensorTypes.f32, F16: tensorTypes.f16, BF16: tensorTypes.bf16 } as const;

interface Place {
  readonly fd: number;
  readonly entry: SafetensorsEntry;
}

const readAt = (fd: number, position: number, nBytes: number): Uint8Array => {
  const bytes = new Uint8Array(nBytes);
  if (readSync(fd, bytes, 0, nBytes, position) !== nBytes) throw new Error('the file ended');
  return bytes;
};

const weightFiles = (dir: string): readonly string[] => {
  const index = join(dir, 'model.safetensors.index.json');
  if (!existsSync(index)) return ['model.safetensors'];
  const { weight_map: files } = JSON.parse(readFileSync(index, 'utf8')) as { weight_map: Record<string, string> };
  return [...new Set(Object.values(files))];
};

export class CheckpointValues implements Disposable {
  readonly #places = new Map<string, Place>();
  readonly #fds: number[] = [];
  readonly #native = openLibrary().native;

  constructor(dir: string) {
    for (const name of weightFiles(dir)) {
      const path = join(dir, name);
      const fd = openSync(path, 'r');
      this.#fds.push(fd);
      const { size } = statSync(path);
      const header = readAt(fd, lengthBytes, headerLength(readAt(fd, 0, lengthBytes), size, name));
      for (const entry of parseSafetensorsHeader(header, size, name)) this.#places.set(entry.name, { fd, entry });
    }
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  /** Row-major, the slowest axis first. @throws Error when there is no such tensor. */
  shape(name: string): readonly number[] {
    return this.#place(name).entry.shape;
  }

  /** `n` values from the one numbered `first`. */
  read(name: string, first: number, n: number): Float32Array {
    const { fd, entry } = this.#place(name);
    const type = storedTypes[entry.dtype as keyof typeof storedTypes];
    const values = new Float32Array(n);
    const bytes = readAt(fd, entry.offset + first * type.blockBytes, n * type.blockBytes);
    toF32(this.#native, type, bytes, values, n);
    return values;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) closeSync(fd);
  }

  #place(name: string): Place {
    const place = this.#places.get(name);
    if (place === undefined) throw new Error(`the checkpoint has no tensor ${name}`);
    return place;
  }
}
