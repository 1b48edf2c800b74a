import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TokenTextStream, type TokenBytes } from './token-text-stream.ts';

const utf8 = new TextEncoder();

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

/** Token `id` is `tokens[id]`; negative ids are control tokens spelled `<|c|>`. */
const tokensOf = (tokens: readonly Uint8Array[]): TokenBytes => ({
  tokenBytes: (id) => (id < 0 ? utf8.encode('<|c|>') : (tokens[id] ?? bytes())),
  isControl: (id) => id < 0,
});

describe('TokenTextStream', () => {
  it('holds a character back until its last byte is there', () => {
    const stream = new TokenTextStream(tokensOf([bytes(0xf0, 0x9f), bytes(0x98), bytes(0x80, 0x21)]));
    expect([stream.push(0), stream.push(1), stream.push(2), stream.flush()]).toEqual(['', '', '😀!', '']);
  });

  it('replaces bytes that can no longer become a character at once, and unfinished ones when flushed', () => {
    const stream = new TokenTextStream(tokensOf([bytes(0xe6, 0x9d), bytes(0x61), bytes(0xf0, 0x9f)]));
    expect([stream.push(0), stream.push(1), stream.push(2), stream.flush()]).toEqual(['', '\ufffda', '', '\ufffd']);
  });

  it('keeps a byte order mark as text', () => {
    const stream = new TokenTextStream(tokensOf([bytes(0xef, 0xbb), bytes(0xbf, 0x61)]));
    expect([stream.push(0), stream.push(1), stream.flush()]).toEqual(['', '\ufeffa', '']);
  });

  it('leaves control tokens out unless asked, even between the bytes of one character', () => {
    const tokens = tokensOf([bytes(0xc3), bytes(0xa9)]);
    const skipping = new TokenTextStream(tokens);
    expect([0, -1, 1].map((id) => skipping.push(id))).toEqual(['', '', 'é']);
    const keeping = new TokenTextStream(tokens, { skipSpecial: false });
    expect([0, -1, 1].map((id) => keeping.push(id)).join('') + keeping.flush()).toBe('\ufffd<|c|>\ufffd');
  });

  it('can be used again after a flush', () => {
    const stream = new TokenTextStream(tokensOf([bytes(0xc3), bytes(0x61)]));
    expect(stream.push(0) + stream.flush() + stream.push(1) + stream.flush()).toBe('\ufffda');
  });

  it('gives, however bytes are cut into tokens, what decoding them at once gives', () => {
    const likelyBytes = fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc.constantFrom(...['é', '東', '😀', '\ufeff', 'a'].map((text) => utf8.encode(text))),
      fc.constantFrom(bytes(0xe0, 0x80), bytes(0xed, 0xa0), bytes(0xf4, 0x90), bytes(0xf0, 0x9f), bytes(0xc0)),
    );
    fc.assert(
      fc.property(fc.array(likelyBytes, { maxLength: 12 }), (tokens) => {
        const stream = new TokenTextStream(tokensOf(tokens));
        const pieces = tokens.map((_, id) => stream.push(id)).join('') + stream.flush();
        const whole = Uint8Array.from(tokens.flatMap((token) => [...token]));
        expect(pieces).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(whole));
      }),
    );
  });
});
