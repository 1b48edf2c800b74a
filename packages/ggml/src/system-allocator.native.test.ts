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

/** How many arenas a process of twelve allocating threads ends with. */
const countArenas = (preparation: string): number => {
  const allocate = 'for (const kept = []; kept.length < 2000;) kept.push(Buffer.allocUnsafeSlow(5000));';
  const program = `
    import { once } from 'node:events';
    import { Worker } from 'node:worker_threads';
    import koffi from 'koffi';
    ${preparation}
    const newWorker = () => new Worker(${JSON.stringify(allocate)}, { eval: true, execArgv: [] });
    await Promise.all(Array.from({ length: 12 }, () => once(newWorker(), 'exit')));
    koffi.load(null).func('void malloc_stats()')();`;
  const args = ['--import', 'tsx', '--conditions=source', '--input-type=module', '--eval', program];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return stderr.match(/^Arena \d+:/gm)?.length ?? 0;
};

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

  it('has few arenas, however many threads there are', () => {
    const module = JSON.stringify(new URL('./system-allocator.ts', import.meta.url).href);
    const nArenas = countArenas(`(await import(${module})).keepFewArenas();`);
    expect(nArenas).toBeGreaterThan(0);
    expect(nArenas).toBeLessThan(countArenas(''));
  });
});
