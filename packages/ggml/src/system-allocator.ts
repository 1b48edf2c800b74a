/**
 * What the C library's allocator keeps of memory that has been freed. glibc makes up to eight arenas a core and keeps
 * the free pages of each, and with time it takes ever larger blocks from them: in a process of many threads what it
 * holds rises long after what is used is level. Both functions do nothing with other C libraries.
 */
import { promisify } from 'node:util';
import koffi, { type KoffiFunc } from 'koffi';

/** Parameters of glibc's `malloc.h` and what they are set to. */
const settings = [
  // M_ARENA_MAX: ggml's threads and V8's allocate large blocks and seldom, and do not wait for one another.
  { parameter: -8, value: 2 },
  // M_MMAP_THRESHOLD: a block of as many bytes is pages of its own, which its end gives back to the system.
  { parameter: -3, value: 2 ** 20 },
  // M_TRIM_THRESHOLD: the free end of a heap is given back when it has as many bytes.
  { parameter: -1, value: 2 ** 22 },
] as const;

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

type Environment = Readonly<Record<string, string | undefined>>;

const isSetByOperator = (env: Environment): boolean =>
  Object.keys(env).some((name) => name.startsWith('MALLOC_')) || env.GLIBC_TUNABLES?.includes('glibc.malloc.') === true;

/**
 * For the whole process; arenas that threads have already stay. An operator's `MALLOC_…` or `GLIBC_TUNABLES` in the
 * environment go before.
 */
export const keepLittleFreed = (env: Environment): void => {
  if (isSetByOperator(env)) return;
  for (const { parameter, value } of settings) systemAllocator()?.mallopt(parameter, value);
};

/** Gives every free page of every arena back to the system, on a thread of its own: that takes milliseconds. */
export const giveBackFreed = async (): Promise<void> => {
  const found = systemAllocator();
  if (found !== null) await promisify<number, number>(found.mallocTrim.async)(0);
};
