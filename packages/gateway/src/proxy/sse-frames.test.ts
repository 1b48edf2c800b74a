import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SseFrames, type SseFrame } from './sse-frames.ts';

const read = (chunks: readonly Buffer[]): SseFrame[] => {
  const frames = new SseFrames();
  return chunks.flatMap((chunk) => frames.push(chunk));
};

const split = (bytes: Buffer, cuts: readonly number[]): Buffer[] => {
  const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, i) => bytes.subarray(at[i], end));
};

/** Frames that say something: a stray LF of a split CR LF is an empty one. */
const said = (frames: readonly SseFrame[]): unknown[] =>
  frames
    .filter((frame) => frame.data !== null || frame.comment !== null)
    .map(({ data, comment }) => ({ data, comment }));

type Event = readonly [lines: readonly string[], lineEnd: string];

const textOf = (events: readonly Event[]): string =>
  events.map(([lines, end]) => lines.map((one) => one + end).join('') + end).join('');

describe('SseFrames', () => {
  it('reads data, joined lines, comments and named events', () => {
    const text = 'data: {"a":1}\n\n: hello\n\nevent: x\ndata:one\ndata: two\nid: 7\n\ndata\n\n';
    expect(said(read([Buffer.from(text)]))).toEqual([
      { data: '{"a":1}', comment: null },
      { data: null, comment: 'hello' },
      { data: 'one\ntwo', comment: null },
      { data: '', comment: null },
    ]);
  });

  it('hands out nothing of an event that has not ended', () => {
    const frames = new SseFrames();
    expect(frames.push(Buffer.from('data: 1\n'))).toEqual([]);
    expect(frames.pendingBytes).toBe(8);
    expect(frames.push(Buffer.from('\n'))).toHaveLength(1);
    expect(frames.pendingBytes).toBe(0);
  });

  it('does not hold back the end of an event that closes with CR LF', () => {
    const frames = new SseFrames();
    expect(frames.push(Buffer.from('data: 1\r\n\r\n')).map((frame) => frame.bytes.toString())).toEqual([
      'data: 1\r\n\r\n',
    ]);
    expect(frames.pendingBytes).toBe(0);
  });

  describe('for any line ends and any split', () => {
    const line = fc.constantFrom('data: a', 'data: ü😀', 'data:', ': c', 'event: e', 'data: {"x":"\\n"}');
    const lineEnd = fc.constantFrom('\n', '\r\n', '\r');
    const event = fc.tuple(fc.array(line, { minLength: 1, maxLength: 3 }), lineEnd);
    const events = fc.array(event, { minLength: 1, maxLength: 6 });
    const cuts = fc.array(fc.nat(), { maxLength: 12 });

    it('gives the same events and the same bytes', () => {
      fc.assert(
        fc.property(events, cuts, (all, at) => {
          const bytes = Buffer.from(textOf(all));
          const whole = read([bytes]);
          const pieces = read(split(bytes, at));
          expect(said(pieces)).toEqual(said(whole));
          const kept = Buffer.concat(pieces.map((frame) => frame.bytes));
          // A last lone LF of a cut CR LF may still wait for more.
          expect(bytes.subarray(0, kept.length).equals(kept)).toBe(true);
          expect(bytes.length - kept.length).toBeLessThanOrEqual(1);
        }),
      );
    });

    it('passes over a byte order mark in front', () => {
      fc.assert(
        fc.property(events, cuts, (all, at) => {
          const marked = Buffer.from(`\uFEFF${textOf(all)}`);
          expect(said(read(split(marked, at)))).toEqual(said(read([marked.subarray(3)])));
        }),
      );
    });

    it('has the last event as its rest where the stream ends without the empty line', () => {
      fc.assert(
        fc.property(events, cuts, (all, at) => {
          const [, end] = all.at(-1) ?? [[], ''];
          const text = textOf(all);
          const frames = new SseFrames();
          const ended = split(Buffer.from(text.slice(0, -end.length)), at).flatMap((chunk) => frames.push(chunk));
          const rest = frames.rest();
          expect(said(rest === null ? ended : [...ended, rest])).toEqual(said(read([Buffer.from(text)])));
          // Its bytes are an event by themselves; a lone LF of a cut CR LF may stand before it.
          const closed = rest === null ? [] : [rest];
          expect(said(read(closed.map(({ bytes }) => bytes)))).toEqual(said(closed));
          expect(frames.rest()).toBeNull();
        }),
      );
    });
  });
});
