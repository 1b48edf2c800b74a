import { describe, expect, it } from 'vitest';
import { tokenLogprob } from './logprobs.ts';

const pieces: readonly Uint8Array[] = [
  Uint8Array.from(Buffer.from('Hi')),
  Uint8Array.of(0xc3),
  Uint8Array.of(0xef, 0xbb, 0xbf),
];
const tokenBytes = (id: number): Uint8Array => pieces[id] ?? new Uint8Array();

describe('the log-probability of a token', () => {
  it('has its text, its bytes and the alternatives in order', () => {
    const top = [
      { id: 1, logprob: -0.2 },
      { id: 0, logprob: -1.5 },
    ];
    expect(tokenLogprob({ id: 0, logprob: -1.5, top }, tokenBytes)).toEqual({
      token: 'Hi',
      logprob: -1.5,
      bytes: [72, 105],
      top_logprobs: [
        { token: '\ufffd', logprob: -0.2, bytes: [0xc3] },
        { token: 'Hi', logprob: -1.5, bytes: [72, 105] },
      ],
    });
  });

  it('keeps a byte order mark, which is text here', () => {
    expect(tokenLogprob({ id: 2, logprob: 0, top: [] }, tokenBytes).token).toBe('\ufeff');
  });

  it('stays a JSON number for a token that could not be sampled', () => {
    expect(tokenLogprob({ id: 0, logprob: Number.NEGATIVE_INFINITY, top: [] }, tokenBytes).logprob).toBe(-9999);
  });
});
