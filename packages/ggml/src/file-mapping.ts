/**
 * A file's bytes as memory, shared with the system's cache: read on first touch, given back under pressure, and never
 * copied. A file that is cut short while it is mapped ends the process at the next touch of what is gone.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { noteFreed, noteHeld } from './holdings.ts';
import type { Pointer } from './native.ts';
import { mapFile, systemMemory, type SystemMemory } from './system-memory.ts';

export class FileMapping implements Disposable {
  readonly address: Pointer;
  readonly nBytes: number;
  readonly #system: SystemMemory;
  #nHolders = 1;

  private constructor(system: SystemMemory, address: Pointer, nBytes: number) {
    this.#system = system;
    this.address = address;
    this.nBytes = nBytes;
    noteHeld(this);
  }

  /** Null where files cannot be mapped. @throws Error when the file cannot be opened. */
  static open(path: string): FileMapping | null {
    const system = systemMemory();
    if (system === null) return null;
    const fd = openSync(path, 'r');
    try {
      const { size } = fstatSync(fd);
      if (size === 0) return null;
      const address = mapFile(system, fd, size);
      return address === null ? null : new FileMapping(system, address, size);
    } finally {
      closeSync(fd);
    }
  }

  /** One more holder: the memory stays until each has disposed of it once. */
  retain(): this {
    if (this.#nHolders === 0) throw new Error('the file is not mapped any more');
    this.#nHolders += 1;
    return this;
  }

  /** A view of the memory itself: it must not be touched once the last holder has gone. */
  view(offset: number, nBytes: number): Uint8Array {
    if (this.#nHolders === 0) throw new Error('the file is not mapped any more');
    if (!(offset >= 0 && nBytes >= 0 && offset + nBytes <= this.nBytes)) {
      throw new RangeError(`bytes ${offset}..${offset + nBytes} of a file of ${this.nBytes}`);
    }
    return new Uint8Array(koffi.view(this.address + BigInt(offset), nBytes));
  }

  [Symbol.dispose](): void {
    if (this.#nHolders === 0) return;
    this.#nHolders -= 1;
    if (this.#nHolders > 0) return;
    this.#system.munmap(this.address, this.nBytes);
    noteFreed(this);
  }
}
