import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SseReader, type SseItem } from './sse.ts';

const text = [
  ': keepalive\n\n',
  'event: fleet\r\ndata: {"a":1}\r\n\r\n',
  'data: one\ndata: two\n\n',
  ': queued\ndata:[DONE]\r\r',
  'event: nothing\n\n',
].join('');

const items: readonly SseItem[] = [
  { kind: 'comment', text: 'keepalive' },
  { kind: 'event', event: 'fleet', data: '{"a":1}' },
  { kind: 'event', event: 'message', data: 'one\ntwo' },
  { kind: 'comment', text: 'queued' },
  { kind: 'event', event: 'message', data: '[DONE]' },
];

describe('a reader of server-sent events', () => {
  it('reads the same however the text is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (cuts) => {
        const reader = new SseReader();
        const ends = [...cuts, text.length].toSorted((a, b) => a - b);
        const read = ends.flatMap((end, i) => reader.push(text.slice(i === 0 ? 0 : ends[i - 1], end)));
        expect(read).toEqual(items);
      }),
    );
  });

  it('keeps back what is not complete', () => {
    const reader = new SseReader();
    expect(reader.push('data: half')).toEqual([]);
    expect(reader.push(' of it\n')).toEqual([]);
    expect(reader.push('\n')).toEqual([{ kind: 'event', event: 'message', data: 'half of it' }]);
  });
});
