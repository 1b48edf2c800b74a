import { assert, asyncProperty, boolean, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeDataUri } from './data-uri.ts';

const limit = 1 << 20;
const uri = (payload: string): string => `data:image/png;base64,${payload}`;

const failure = (url: string, bytesMax = limit): Promise<{ code: string; message: string }> =>
  decodeDataUri(url, bytesMax).then(
    () => ({ code: 'none', message: 'was accepted' }),
    (error: { code: string; message: string }) => ({ code: error.code, message: error.message }),
  );

describe('decodeDataUri', () => {
  it('gives back any bytes, with or without padding', async () => {
    await assert(
      asyncProperty(uint8Array({ minLength: 1, maxLength: 300 }), boolean(), async (bytes, padded) => {
        const base64 = Buffer.from(bytes).toString('base64');
        const decoded = await decodeDataUri(uri(padded ? base64 : base64.replace(/=+$/, '')), limit);
        expect([...decoded]).toEqual([...bytes]);
      }),
    );
  });

  it('takes line breaks anywhere, across the slices it decodes in', async () => {
    const bytes = Uint8Array.from({ length: 4_000_001 }, (_, i) => (i * 31) % 251);
    const lines = Buffer.from(bytes)
      .toString('base64')
      .replaceAll(/.{1,76}/g, '$&\r\n');
    expect(Buffer.compare(await decodeDataUri(uri(lines), 5_000_000), bytes)).toBe(0);
  });

  it('takes any case, parameters, white space around and the URL-safe alphabet', async () => {
    expect([...(await decodeDataUri(' DATA:Image/JPEG;name=a.jpg;Base64,_-8= \n', limit))]).toEqual([255, 239]);
  });

  it.each([
    ['http URLs', 'http://example.com/a.png', /gateway fetches/],
    ['https URLs', ' HTTPS://example.com/a.png', /gateway fetches/],
    ['file URLs', 'file:///etc/passwd', /expected a data: URI/],
    ['plain text', 'a cat', /expected a data: URI/],
    ['nothing', '', /expected a data: URI/],
    ['an empty payload', uri(''), /empty/],
    ['a payload of white space', uri(' \n'.repeat(1000)), /empty/],
    ['padding alone', uri('=='), /base64/],
    ['text', 'data:text/plain;base64,aGk=', /"text\/plain"/],
    ['no type', 'data:;base64,aGk=', /of type ""/],
    ['no comma', `data:image/png;base64${'A'.repeat(5000)}`, /no comma/],
    ['percent encoding', 'data:image/png,%89PNG', /not base64/],
    ['a digit too many', uri('aGkxA'), /not valid base64/],
    ['a character that is no digit', uri('aG*x'), /not valid base64/],
    ['a character outside Latin-1', uri('aG\u{1F408}x'), /not valid base64/],
    ['padding in the middle', uri('aGk=aGk='), /not valid base64/],
    ['too much padding', uri('aGkx=='), /not valid base64/],
    ['three pads', uri('aG==='), /not valid base64/],
  ])('refuses %s', async (_what, url, message) => {
    expect(await failure(url)).toEqual({ code: 'invalid_image', message: expect.stringMatching(message) as string });
  });

  it('refuses a file over the limit and takes one at it', async () => {
    const atLimit = uri(Buffer.alloc(3000).toString('base64'));
    expect(await decodeDataUri(atLimit, 3000)).toHaveLength(3000);
    expect(await failure(atLimit, 2999)).toMatchObject({ code: 'request_too_large' });
  });

  it('lets the event loop turn while it decodes a large photo', async () => {
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 0);
    await decodeDataUri(uri('A'.repeat(20_000_000)), 16_000_000);
    clearInterval(timer);
    expect(turns).toBeGreaterThanOrEqual(3);
  });
});
