/**
 * A file's bytes as memory, shared with the system's cache: read on first touch, given back under pressure, and never
 * copied. A file that is cut short while it is mapped ends the process at the next touch of what is gone.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import koffi from 'koffi';
import { noteFreed, noteHeld } from './holdings.ts';
import type { Pointer } from './native.ts';

interface MemoryFunctions {
  readonly mmap: (at: null, size: number, protection: number, flags: number, fd: number, offset: number) => Pointer;
  readonly munmap: (address: Pointer, size: number) => number;
}

// The same on Linux and macOS.
const readable = 1;
const sharedFlag = 1;
const failed = 0xffff_ffff_ffff_ffffn;

let functions: MemoryFunctions | null | undefined;

/** Null on systems without `mmap`. */
const memoryFunctions = (): MemoryFunctions | null => {
  if (functions !== undefined) return functions;
  if (process.platform === 'win32') return (functions = null);
  const libc = koffi.load(null);
  return (functions = {
    mmap: libc.func('void *mmap(void *at, size_t size, int protection, int flags, int fd, int64_t offset)'),
    munmap: libc.func('int munmap(void *address, size_t size)'),
  } as MemoryFunctions);
};

export class FileMapping implements Disposable {
  readonly address: Pointer;
  readonly nBytes: number;
  readonly #functions: MemoryFunctions;
  #nHolders = 1;

  private constructor(using: MemoryFunctions, address: Pointer, nBytes: number) {
    this.#functions = using;
    this.address = address;
    this.nBytes = nBytes;
    noteHeld(this);
  }

  /** Null where files cannot be mapped. @throws Error when the file cannot be opened. */
  static open(path: string): FileMapping | null {
    const using = memoryFunctions();
    if (using === null) return null;
    const fd = openSync(path, 'r');
    try {
      const { size } = fstatSync(fd);
      if (size === 0) return null;
      const address = using.mmap(null, size, readable, sharedFlag, fd, 0);
      return address === null || BigInt.asUintN(64, address) === failed ? null : new FileMapping(using, address, size);
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
    this.#functions.munmap(this.address, this.nBytes);
    noteFreed(this);
  }
}
