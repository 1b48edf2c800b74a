import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { gatewayOf } from './client-options.ts';
import { imagePart, typedPath } from './image-part.ts';

describe('the gateway that is asked', () => {
  it('is that of the flag, else of the environment, else this machine', () => {
    const env = { CORTEX_URL: 'http://env:1/', CORTEX_API_KEY: 'secret' };
    expect(gatewayOf({ url: 'https://flag/base/v1' }, env).endpoint).toEqual({
      url: 'https://flag/base',
      apiKey: 'secret',
    });
    expect(gatewayOf({ apiKey: 'mine' }, env).endpoint).toEqual({ url: 'http://env:1', apiKey: 'mine' });
    expect(gatewayOf({}, { CORTEX_URL: '' }).endpoint).toEqual({ url: 'http://127.0.0.1:31313' });
  });

  it('is refused by the name of whatever named it wrongly', () => {
    expect(() => gatewayOf({ url: 'localhost' }, {})).toThrow('--url: expected http://HOST:PORT');
    expect(() => gatewayOf({}, { CORTEX_URL: 'ftp://x' })).toThrow('CORTEX_URL: expected http://HOST:PORT');
  });

  it('is named, with a way out, when nobody answers there', async () => {
    await expect(gatewayOf({ url: 'http://127.0.0.1:1' }, {}).fleet()).rejects.toThrow(
      /nothing answers at http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED.*\n.*cortex up/s,
    );
  });
});

describe('a picture', () => {
  it('is found however its path was typed or dropped', () => {
    const typed = [' a/b.png ', "'a b.png'", '"a b.png"', String.raw`a\ b.png`, '~/x.png'];
    expect(typed.map((text) => typedPath(text, '/home/me'))).toEqual([
      'a/b.png',
      'a b.png',
      'a b.png',
      'a b.png',
      '/home/me/x.png',
    ]);
  });

  it('is told by its bytes, not by its name', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'cli-'));
    const file = path.join(dir, 'picture.txt');
    await writeFile(file, Buffer.from('\u00FF\u00D8\u00FF\u00E0rest', 'latin1'));
    expect(await imagePart(file, '/')).toMatchObject({ image_url: { url: 'data:image/jpeg;base64,/9j/4HJlc3Q=' } });
    await writeFile(file, 'just words');
    await expect(imagePart(file, '/')).rejects.toThrow(`${file}: not a PNG, JPEG, WebP or GIF picture`);
    await expect(imagePart(dir, '/')).rejects.toThrow('a folder, not a picture');
    await expect(imagePart(path.join(dir, 'none.png'), '/')).rejects.toThrow('none.png: no such file');
    await rm(dir, { recursive: true });
  });
});
