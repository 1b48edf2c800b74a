import { spawnSync } from 'node:child_process';
import koffi from 'koffi';
import { describe, expect, it } from 'vitest';
import { giveBackFreed } from './system-allocator.ts';

interface LibC {
  readonly malloc: (size: number) => bigint;
  readonly free: (address: bigint) => void;
  readonly memset: (address: bigint, value: number, size: number) => void;
}

const libC = (): LibC => {
  const libc = koffi.load(null);
  return {
    malloc: libc.func('void *malloc(size_t size)'),
    free: libc.func('void free(void *address)'),
    memset: libc.func('void memset(void *address, int value, size_t size)'),
  } as LibC;
};

const { header } = process.report.getReport() as { readonly header: object };

const preparation = `(await import(${JSON.stringify(new URL('./system-allocator.ts', import.meta.url).href)})).keepLittleFreed(process.env);`;

/** What a process of its own writes, in an environment that says nothing of the allocator but `settings`. */
const outputOf = (program: string, settings: Readonly<Record<string, string>> = {}): string => {
  const args = ['--import', 'tsx', '--conditions=source', '--input-type=module', '--eval', program];
  const names = Object.keys(process.env).filter((name) => /^(MALLOC_|GLIBC_)/.test(name));
  const env = { ...process.env, ...Object.fromEntries(names.map((name) => [name, undefined])), ...settings };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
  expect(status, stderr).toBe(0);
  return stdout + stderr;
};

/** How many arenas a process of twelve allocating threads ends with. */
const countArenas = (prepare: string, settings?: Readonly<Record<string, string>>): number => {
  const allocate = 'for (const kept = []; kept.length < 2000;) kept.push(Buffer.allocUnsafeSlow(5000));';
  const program = `
    import { once } from 'node:events';
    import { Worker } from 'node:worker_threads';
    import koffi from 'koffi';
    ${prepare}
    const newWorker = () => new Worker(${JSON.stringify(allocate)}, { eval: true, execArgv: [] });
    await Promise.all(Array.from({ length: 12 }, () => once(newWorker(), 'exit')));
    koffi.load(null).func('void malloc_stats()')();`;
  return outputOf(program, settings).match(/^Arena \d+:/gm)?.length ?? 0;
};

/** Bytes that the end of a block of 8 MiB gives back, where others had ended before and one that is used lies above. */
const bytesGivenBack = (prepare: string): number =>
  Number(
    outputOf(`
    import koffi from 'koffi';
    ${prepare}
    const libc = koffi.load(null);
    const malloc = libc.func('void *malloc(size_t size)');
    const memset = libc.func('void memset(void *address, int value, size_t size)');
    const free = libc.func('void free(void *address)');
    const newBlock = () => {
      const block = malloc(2 ** 23);
      memset(block, 1, 2 ** 23);
      return block;
    };
    free(newBlock());
    const [freed, kept] = [newBlock(), newBlock()];
    const before = process.memoryUsage.rss();
    free(freed);
    console.log(before - process.memoryUsage.rss());`),
  );

describe.runIf('glibcVersionRuntime' in header)('the allocator of the C library', () => {
  it('gives back what is free between blocks that are used', async () => {
    const { malloc, free, memset } = libC();
    const [nBlocks, size] = [1000, 100_000];
    const blocks = Array.from({ length: nBlocks }, () => malloc(size));
    for (const block of blocks) memset(block, 1, size);
    const fullBytes = process.memoryUsage().rss;
    // Every tenth stays, the last among them: nothing is free at the end.
    for (const [i, block] of blocks.entries()) if (i % 10 !== 9) free(block);
    await giveBackFreed();
    expect(fullBytes - process.memoryUsage().rss).toBeGreaterThan(0.6 * nBlocks * size);
    for (const [i, block] of blocks.entries()) if (i % 10 === 9) free(block);
  });

  it('has few arenas, however many threads there are, unless the operator wants more', () => {
    const nArenas = countArenas(preparation);
    expect(nArenas).toBeGreaterThan(0);
    expect(nArenas).toBeLessThan(countArenas(''));
    expect(countArenas(preparation, { MALLOC_ARENA_MAX: '12' })).toBeGreaterThan(nArenas);
  });

  it('gives large blocks back when they end', () => {
    expect(bytesGivenBack('')).toBeLessThan(2 ** 22);
    expect(bytesGivenBack(preparation)).toBeGreaterThan(2 ** 22);
  });
});
