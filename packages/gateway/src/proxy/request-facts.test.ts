import { describe, expect, it } from 'vitest';
import { requestFacts, withInlinedImages } from './request-facts.ts';

const user = (content: unknown): object => ({ role: 'user', content });
const image = (url: string): object => ({ type: 'image_url', image_url: { url } });

const key = (messages: readonly object[]): string | undefined => requestFacts({ model: 'm', messages }).affinityKey;

describe('requestFacts', () => {
  it('sees pictures anywhere, in either form, and lists the links once', () => {
    const facts = requestFacts({
      model: 'm',
      messages: [
        user([image('data:image/png;base64,AAAA')]),
        { role: 'tool', content: [{ type: 'image_url', image_url: 'https://a/1.png' }] },
        user([image('HTTPS://a/2.png'), image('https://a/1.png')]),
      ],
    });
    expect(facts.needsVision).toBe(true);
    expect(facts.imageUrls).toEqual(['https://a/1.png', 'HTTPS://a/2.png']);
    expect(requestFacts({ model: 'm', messages: [user('text')] }).needsVision).toBe(false);
  });

  it('sees links however they are written, as some engine would open them', () => {
    for (const url of [
      'ht\ntp://a/1.png',
      '\u0001http://a/1.png',
      '\t\thttps://a/1.png',
      `h${'\n'.repeat(500)}ttp://a`,
    ])
      expect(requestFacts({ model: 'm', messages: [user([image(url)])] }).imageUrls).toEqual([url]);
    const untyped = { image_url: { url: 'https://a/1.png' } };
    for (const part of [untyped, { ...untyped, type: 'input_image' }])
      expect(requestFacts({ model: 'm', messages: [user([part])] })).toMatchObject({
        needsVision: true,
        imageUrls: ['https://a/1.png'],
      });
  });

  it('refuses links that would make a node read files or speak other protocols', () => {
    for (const url of ['file:///etc/passwd', 'ftp://a/b', ' gopher://x', 'fi\rle:///etc/passwd'])
      expect(() => requestFacts({ model: 'm', messages: [user([image(url)])] })).toThrow(/is not taken/);
  });

  it('never counts more tokens than there can be, and not the bytes of pictures', () => {
    const chars = (n: number): number => requestFacts({ model: 'm', messages: [user('x'.repeat(n))] }).tokensMin;
    expect(chars(0)).toBe(1);
    expect(chars(1600)).toBe(101);
    const picture = requestFacts({ model: 'm', messages: [user([image(`data:image/png;base64,${'A'.repeat(1e6)}`)])] });
    expect(picture.tokensMin).toBe(2);
    expect(requestFacts({ model: 'm', prompt: [1, 2, 3] }).tokensMin).toBe(4);
    expect(
      requestFacts({
        model: 'm',
        prompt: [
          [1, 2],
          [1, 2, 3],
        ],
      }).tokensMin,
    ).toBe(4);
    expect(requestFacts({ model: 'm', input: ['a', 'x'.repeat(160)] }).tokensMin).toBe(11);
  });

  it('has one affinity for all turns of a conversation, and another for another', () => {
    const system = { role: 'system', content: 'be kind' };
    const first = key([system, user('hello')]);
    expect(key([system, user('hello'), { role: 'assistant', content: 'hi' }, user('more')])).toBe(first);
    expect(key([system, user('other')])).not.toBe(first);
    expect(key([user('hello')])).not.toBe(first);
    expect(requestFacts({ model: 'm', prompt: 'x' })).not.toHaveProperty('affinityKey');
  });

  it('needs a model name and bears anything else', () => {
    for (const model of [undefined, '', 7]) expect(() => requestFacts({ model })).toThrow(/name of a model/);
    const odd = [null, 7, 'x', { role: 'user' }, user(7), user([null, 7, { type: 'image_url' }, { type: 'text' }])];
    expect(requestFacts({ model: 'm', messages: odd }).needsVision).toBe(true);
    expect(requestFacts({ model: 'm', messages: 'x', prompt: { a: 1 } }).tokensMin).toBe(1);
  });
});

describe('withInlinedImages', () => {
  it('replaces what was fetched and touches nothing else', () => {
    const body = {
      model: 'm',
      messages: [
        user('text'),
        user([
          { type: 'text', text: 'see' },
          { type: 'image_url', image_url: { url: 'https://a/1.png', detail: 'low' } },
          { type: 'image_url', image_url: 'https://a/2.png' },
          image('data:x'),
        ]),
      ],
    };
    const before = structuredClone(body);
    const inlined = withInlinedImages(
      body,
      new Map([
        ['https://a/1.png', 'data:1'],
        ['https://a/2.png', 'data:2'],
      ]),
    );
    expect(inlined['messages']).toEqual([
      user('text'),
      user([
        { type: 'text', text: 'see' },
        { type: 'image_url', image_url: { url: 'data:1', detail: 'low' } },
        { type: 'image_url', image_url: { url: 'data:2' } },
        image('data:x'),
      ]),
    ]);
    expect(body).toEqual(before);
  });
});
