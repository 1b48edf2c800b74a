/** Pages of the system's memory, asked for and given back without an allocator in between. */
import koffi from 'koffi';
import type { Pointer } from './native.ts';

export interface SystemMemory {
  readonly mmap: (at: null, size: number, protection: number, flags: number, fd: number, offset: number) => Pointer;
  readonly munmap: (address: Pointer, size: number) => number;
}

// The same on Linux and macOS, but for `anonymousFlag`.
const readable = 1;
const writable = 2;
const sharedFlag = 1;
const privateFlag = 2;
const anonymousFlag = process.platform === 'darwin' ? 0x1000 : 0x20;
const failed = 0xffff_ffff_ffff_ffffn;

let functions: SystemMemory | null | undefined;

/** Null on systems without `mmap`. */
export const systemMemory = (): SystemMemory | null => {
  if (functions !== undefined) return functions;
  if (process.platform === 'win32') return (functions = null);
  const libc = koffi.load(null);
  return (functions = {
    mmap: libc.func('void *mmap(void *at, size_t size, int protection, int flags, int fd, int64_t offset)'),
    munmap: libc.func('int munmap(void *address, size_t size)'),
  } as SystemMemory);
};

const unlessFailed = (address: Pointer | null): Pointer | null =>
  address === null || BigInt.asUintN(64, address) === failed ? null : address;

/** A file's first `size` bytes, to be read only; null where the system refuses. */
export const mapFile = ({ mmap }: SystemMemory, fd: number, size: number): Pointer | null =>
  unlessFailed(mmap(null, size, readable, sharedFlag, fd, 0));

/** Zeros; null where the system refuses. */
export const mapPages = ({ mmap }: SystemMemory, size: number): Pointer | null =>
  unlessFailed(mmap(null, size, readable | writable, privateFlag | anonymousFlag, -1, 0));
