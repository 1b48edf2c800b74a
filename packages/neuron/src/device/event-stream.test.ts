import { describe, expect, it } from 'vitest';
import { EventStream } from './event-stream.ts';

const open = (eventsMax = 100) => {
  const seen = { nAbandoned: 0 };
  const stream = new EventStream<number>({ eventsMax, onAbandoned: () => (seen.nAbandoned += 1) });
  return { stream, seen };
};

const readAll = async (stream: EventStream<number>, into: number[]): Promise<void> => {
  for await (const event of stream) into.push(event);
};

describe('EventStream', () => {
  it('gives every event in order, before and after its reader waits', async () => {
    const { stream, seen } = open();
    const events: number[] = [];
    stream.push([1, 2]);
    const reading = readAll(stream, events);
    await Promise.resolve();
    stream.push([3]);
    await new Promise((resolve) => setImmediate(resolve));
    stream.push([4, 5]);
    stream.end();
    stream.push([6]);
    await reading;
    expect(events).toEqual([1, 2, 3, 4, 5]);
    expect(seen.nAbandoned).toBe(0);
  });

  it('fails after what came before the failure', async () => {
    const { stream } = open();
    const events: number[] = [];
    stream.push([1]);
    stream.fail(new Error('broken'));
    stream.end();
    await expect(readAll(stream, events)).rejects.toThrow('broken');
    expect(events).toEqual([1]);
  });

  it('tells when its reader leaves, once', async () => {
    const { stream, seen } = open();
    stream.push([1, 2]);
    for await (const event of stream) if (event === 1) break;
    await stream.return();
    expect(seen.nAbandoned).toBe(1);
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  it('gives up a reader that is too far behind', async () => {
    const { stream, seen } = open(3);
    stream.push([1, 2]);
    expect(await stream.next()).toMatchObject({ value: 1 });
    stream.push([3, 4]);
    expect(seen.nAbandoned).toBe(0);
    stream.push([5]);
    expect(seen.nAbandoned).toBe(1);
    await expect(readAll(stream, [])).rejects.toMatchObject({ code: 'overloaded' });
  });
});
