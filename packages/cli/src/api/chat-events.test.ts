import { array, assert, asyncProperty, nat } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chatEvents, type ChatEvent } from './chat-events.ts';
import { streamItems, type StreamItem } from './event-stream.ts';

const chunksOf = async function* (pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
};

const collect = async <T>(items: AsyncIterable<T>): Promise<readonly T[]> => {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
};

const eventsOf = (text: string): Promise<readonly ChatEvent[]> =>
  collect(chatEvents(chunksOf([new TextEncoder().encode(text)])));

const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;

describe('a stream of events', () => {
  it('is the same however its bytes are cut', async () => {
    const text = ': waiting\n\ndata: {"a":"ä🖼"}\n\nevent: x\r\ndata: one\r\ndata: two\r\n\r\ndata: cut off';
    const bytes = new TextEncoder().encode(text);
    const expected: readonly StreamItem[] = [
      { kind: 'comment', text: 'waiting' },
      { kind: 'data', data: '{"a":"ä🖼"}' },
      { kind: 'data', data: 'one\ntwo' },
    ];
    await assert(
      asyncProperty(array(nat(bytes.length), { maxLength: 8 }), async (cuts) => {
        const ends = [...cuts.toSorted((a, b) => a - b), bytes.length];
        const pieces = ends.map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1], end));
        expect(await collect(streamItems(chunksOf(pieces)))).toEqual(expected);
      }),
      { numRuns: 50 },
    );
  });
});

describe('an answer', () => {
  it('is what is waited for, reasoning, text, and how it ended', async () => {
    const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
    const events = await eventsOf(
      `: loading on a, 40 %\n\n${chunk({ role: 'assistant', content: '' })}${chunk({ reasoning_content: 'hm' })}` +
        `${chunk({ content: 'yes' })}${chunk({}, 'stop')}data: ${JSON.stringify({ choices: [], usage })}\n\ndata: [DONE]\n\n`,
    );
    expect(events).toEqual([
      { kind: 'waiting', reason: 'loading on a, 40 %' },
      { kind: 'reasoning', text: 'hm' },
      { kind: 'text', text: 'yes' },
      { kind: 'end', finish: 'stop', usage },
    ]);
  });

  it('that fails midway, or just stops, is an error', async () => {
    const error = `data: ${JSON.stringify({ error: { code: 'device_poisoned', message: 'the device is gone' } })}\n\n`;
    await expect(eventsOf(chunk({ content: 'half' }) + error)).rejects.toMatchObject({
      code: 'device_poisoned',
      message: 'the device is gone',
    });
    await expect(eventsOf(chunk({ content: 'half' }))).rejects.toMatchObject({ code: 'upstream_disconnected' });
    await expect(eventsOf('data: {half\n\n')).rejects.toMatchObject({ code: 'upstream_error' });
  });
});
