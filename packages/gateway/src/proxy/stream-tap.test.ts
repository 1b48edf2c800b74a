import { describe, expect, it } from 'vitest';
import type { SseFrame } from './sse-frames.ts';
import { StreamTap } from './stream-tap.ts';

const frame = (data: unknown): SseFrame => ({
  bytes: Buffer.alloc(0),
  data: typeof data === 'string' ? data : JSON.stringify(data),
  comment: null,
});
const delta = (value: object, usage?: object): SseFrame =>
  frame({ choices: [{ index: 0, delta: value }], ...(usage === undefined ? {} : { usage }) });

const tapAt = (): { tap: StreamTap; at: (ms: number) => void } => {
  let nowMs = 0;
  return {
    tap: new StreamTap('a', () => nowMs),
    at: (ms) => {
      nowMs = ms;
    },
  };
};

describe('StreamTap', () => {
  it('times the first and the last piece, and not the role', () => {
    const { tap, at } = tapAt();
    at(1);
    expect(tap.read(delta({ role: 'assistant', content: '' }))).toMatchObject({ part: 'opening' });
    expect(tap.firstTokenMs).toBeNull();
    at(10);
    expect(tap.read(delta({ reasoning_content: 'hm' }))).toMatchObject({ part: 'answer' });
    at(30);
    tap.read(delta({ content: 'x' }));
    expect([tap.firstTokenMs, tap.decodeMs]).toEqual([10, 20]);
  });

  it.each([
    ['text', { choices: [{ text: 'x' }] }],
    ['a tool call', { choices: [{ delta: { tool_calls: [{ index: 0, function: { name: 'f' } }] } }] }],
    ['an end without text', { choices: [{ delta: {}, finish_reason: 'stop' }] }],
  ])('takes %s for part of the answer', (_what, chunk) => {
    expect(tapAt().tap.read(frame(chunk))).toMatchObject({ kind: 'chunk', part: 'answer' });
  });

  it('reads usage wherever it stands, the last counts', () => {
    const { tap } = tapAt();
    tap.read(delta({ content: 'x' }, { prompt_tokens: 5, completion_tokens: 1 }));
    const usage = { prompt_tokens: 5, completion_tokens: 9, prompt_tokens_details: { cached_tokens: 3 } };
    expect(tap.read(frame({ choices: [], usage }))).toMatchObject({ part: 'usage' });
    expect(tap.tokens).toEqual({ prompt: 5, completion: 9, cachedPrompt: 3, reported: true });
  });

  it('counts pieces while nobody has reported usage', () => {
    const { tap } = tapAt();
    tap.read(delta({ content: 'a' }));
    tap.read(delta({ content: 'b' }));
    expect(tap.tokens).toEqual({ prompt: 0, completion: 2, cachedPrompt: 0, reported: false });
  });

  it('throws the node’s own error event', () => {
    const event = frame({ error: { code: 'device_poisoned', message: 'gone' } });
    expect(() => tapAt().tap.read(event)).toThrow(expect.objectContaining({ code: 'device_poisoned' }) as Error);
  });

  it.each(['{"choices": [', '<html>', '[]', '"x"', 'null', '{}', '{"choices":7}', '{"error":"boom"}'])(
    'throws upstream_error for %s',
    (data) => {
      expect(() => tapAt().tap.read(frame(data))).toThrow(expect.objectContaining({ code: 'upstream_error' }) as Error);
    },
  );
});
