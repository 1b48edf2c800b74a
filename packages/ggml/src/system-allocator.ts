/**
 * What the C library's allocator keeps of memory that has been freed. glibc makes up to eight arenas a core and keeps
 * the free pages of each, so that in a process of many threads what it holds rises long after what is used is level.
 * Both functions do nothing with other C libraries.
 */
import { promisify } from 'node:util';
import koffi, { type KoffiFunc } from 'koffi';

/** glibc's `malloc.h`. */
const arenaMaxParameter = -8;
/** ggml's threads and V8's allocate large blocks and seldom: they do not wait for one another. */
const nArenas = 2;

interface Allocator {
  readonly mallopt: (parameter: number, value: number) => number;
  readonly mallocTrim: KoffiFunc<(pad: number) => number>;
}

const findAllocator = (): Allocator | null => {
  if (process.platform !== 'linux') return null;
  const libc = koffi.load(null);
  try {
    return {
      mallopt: libc.func('int mallopt(int parameter, int value)') as Allocator['mallopt'],
      mallocTrim: libc.func('int malloc_trim(size_t pad)') as Allocator['mallocTrim'],
    };
  } catch {
    // musl has neither.
    return null;
  }
};

let allocator: Allocator | null = null;
const systemAllocator = (): Allocator | null => (allocator ??= findAllocator());

/** For the whole process; arenas that threads have already stay. An operator's `MALLOC_ARENA_MAX` goes before. */
export const keepFewArenas = (): void => {
  if (process.env.MALLOC_ARENA_MAX === undefined) systemAllocator()?.mallopt(arenaMaxParameter, nArenas);
};

/** Gives every free page of every arena back to the system, on a thread of its own: that takes milliseconds. */
export const giveBackFreed = async (): Promise<void> => {
  const found = systemAllocator();
  if (found !== null) await promisify<number, number>(found.mallocTrim.async)(0);
};
