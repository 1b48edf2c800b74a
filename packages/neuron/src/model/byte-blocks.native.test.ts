import { holdings } from '@cortex/ggml';
import { describe, expect, it } from 'vitest';
import { ByteBlocks } from './byte-blocks.ts';

describe('blocks of bytes', () => {
  it.each([64, 3_000_000, 5_000_000])('of %i are apart, and those given back are used again', (blockBytes) => {
    using pool = new ByteBlocks(blockBytes);
    const blocks = [0, 1, 2, 3].map(() => pool.take());
    blocks.forEach(({ bytes }, i) => bytes.fill(i + 1));
    for (const [i, { bytes }] of blocks.entries()) {
      expect(bytes.length).toBe(blockBytes);
      expect([bytes[0], bytes.at(-1)]).toEqual([i + 1, i + 1]);
    }
    const { nBytes } = holdings();
    for (const block of blocks) pool.give(block);
    expect(new Set(blocks.map(() => pool.take()))).toEqual(new Set(blocks));
    expect(holdings().nBytes).toBe(nBytes);
  });

  it('ask the system for many at once, and give all back in the end', () => {
    const before = holdings();
    const pool = new ByteBlocks(1024);
    const blocks = Array.from({ length: 5000 }, () => pool.take());
    expect(holdings().nHandles - before.nHandles).toBe(2);
    pool[Symbol.dispose]();
    expect(holdings()).toEqual(before);
    expect(() => blocks[7]?.bytes).toThrow('has been freed');
  });
});
