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

/** How many arenas a process has in which twelve threads have allocated and live. */
const countArenas = (prepare: string, settings?: Readonly<Record<string, string>>): number => {
  const allocate = `
    const { parentPort } = require('node:worker_threads');
    const kept = Array.from({ length: 2000 }, () => Buffer.allocUnsafeSlow(5000));
    parentPort.on('message', () => kept.length);
    parentPort.postMessage('allocated');`;
  const program = `
    import { once } from 'node:events';
    import { Worker } from 'node:worker_threads';
    import koffi from 'koffi';
    ${prepare}
    const newWorker = () => new Worker(${JSON.stringify(allocate)}, { eval: true, execArgv: [] });
    await Promise.all(Array.from({ length: 12 }, () => once(newWorker(), 'message')));
    koffi.load(null).func('void malloc_stats()')();
    process.exit();`;
  return outputOf(program, settings).match(/^Arena \d+:/gm)?.length ?? 0;
};

/** By itself glibc would give a second one no pages of its own any more; and much more than V8 gives back meanwhile. */
const largeBlock = 24 * 2 ** 20;

/** Bytes that the end of a block of 24 MiB gives back, where others had ended before and one that is used lies above. */
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
      const block = malloc(${largeBlock});
      memset(block, 1, ${largeBlock});
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
    expect(bytesGivenBack('')).toBeLessThan(largeBlock / 2);
    expect(bytesGivenBack(preparation)).toBeGreaterThan(largeBlock / 2);
  });
});
