import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { merged } from './merged-events.ts';

async function* every(
  ms: number,
  items: readonly string[],
  onEnd: () => void = () => {},
): AsyncGenerator<string, void> {
  try {
    for (const item of items) {
      await delay(ms);
      yield item;
    }
  } finally {
    onEnd();
  }
}

async function* failing(): AsyncGenerator<string, void> {
  yield 'x';
  throw new Error('broken');
}

const collected = async (stream: AsyncIterable<string>): Promise<string[]> => {
  const items: string[] = [];
  for await (const item of stream) items.push(item);
  return items;
};

describe('merged', () => {
  it('gives every item of every source, each source in order', async () => {
    const items = await collected(merged([every(1, ['a1', 'a2', 'a3']), every(2, ['b1', 'b2']), every(0, [])]));
    expect(items.filter((item) => item.startsWith('a'))).toEqual(['a1', 'a2', 'a3']);
    expect(items.filter((item) => item.startsWith('b'))).toEqual(['b1', 'b2']);
    expect(items).toHaveLength(5);
  });

  it('does not hold one source back for another', async () => {
    const [first] = await collected(merged([every(50, ['slow']), every(1, ['quick'])]));
    expect(first).toBe('quick');
  });

  it('fails as soon as one source fails', async () => {
    await expect(collected(merged([every(10_000, ['never']), failing()]))).rejects.toThrow('broken');
  });

  it('leaves its sources when it is left', async () => {
    let nEnded = 0;
    const end = (): void => void (nEnded += 1);
    for await (const _item of merged([every(1, ['a', 'b', 'c'], end), every(1, ['d', 'e', 'f'], end)])) break;
    await delay(20);
    expect(nEnded).toBe(2);
  });
});
