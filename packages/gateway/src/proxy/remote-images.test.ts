import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cortexConfigSchema } from '@cortex/core';
import { RemoteImages, type RemoteImagesOptions } from './remote-images.ts';

const png = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');
const dataUri = `data:image/png;base64,${png.toString('base64')}`;

let base: string;
let port: number;
let nRequests = 0;
const never = new AbortController().signal;

const pages: Readonly<Record<string, (response: ServerResponse, request: IncomingMessage) => void>> = {
  '/a.png': (response) => response.writeHead(200, { 'content-type': 'text/plain' }).end(png),
  '/moved': (response) => response.writeHead(302, { location: '/a.png' }).end(),
  '/loop': (response) => response.writeHead(302, { location: '/loop' }).end(),
  '/to-metadata': (response) => response.writeHead(302, { location: 'http://169.254.169.254/latest' }).end(),
  '/to-private-name': (response) => response.writeHead(307, { location: `http://private.test:${port}/a.png` }).end(),
  '/to-file': (response) => response.writeHead(301, { location: 'file:///etc/passwd' }).end(),
  '/html': (response) => response.writeHead(200, { 'content-type': 'image/png' }).end('<html>'),
  '/missing': (response) => response.writeHead(404).end(),
  '/slow': (response) => void response.writeHead(200).write(png),
  '/endless': (response) => {
    response.writeHead(200);
    const more = (): void => {
      while (!response.destroyed && response.write(Buffer.alloc(65_536, 1)));
    };
    response.on('drain', more);
    response.write(png);
    more();
  },
};

const server = createServer((request, response) => {
  nRequests += 1;
  const page = pages[request.url ?? ''];
  if (page === undefined) response.writeHead(500).end();
  else page(response, request);
});

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = (server.address() as AddressInfo).port;
  base = `http://pictures.test:${port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

const names: Readonly<Record<string, readonly string[]>> = {
  'pictures.test': ['127.0.0.1'],
  'private.test': ['10.0.0.1'],
  'both.test': ['127.0.0.1', '10.0.0.1'],
};

/** A world in which this machine's loopback is the public internet. */
const images = (settings: object = {}, options: Partial<RemoteImagesOptions> = {}): RemoteImages =>
  new RemoteImages({
    settings: { ...cortexConfigSchema.parse({}).images, allow_remote: true, ...settings },
    allows: (address) => address === '127.0.0.1',
    resolve: async (host) => (names[host] ?? []).map((address) => ({ address, family: 4 })),
    ...options,
  });

const fetchOne = async (link: string, from = images()): Promise<string | undefined> =>
  (await from.fetchAll([link], never)).get(link);

describe('linked images', () => {
  it('become data URIs of what their bytes are', async () => {
    expect(await fetchOne(`${base}/a.png`)).toBe(dataUri);
    expect(await fetchOne(`${base}/moved`)).toBe(dataUri);
    expect(await fetchOne(`http://127.0.0.1:${port}/a.png`)).toBe(dataUri);
  });

  it('are not fetched unless that is allowed', async () => {
    const before = nRequests;
    await expect(fetchOne(`${base}/a.png`, images({ allow_remote: false }))).rejects.toThrow(/allow_remote = true/);
    expect(nRequests).toBe(before);
  });

  it.each([
    ['a private address', () => `http://10.0.0.1:${port}/a.png`, 'not public'],
    ['another spelling of one', () => `http://0xa000001:${port}/a.png`, 'not public'],
    ['an IPv6 literal', () => `http://[::1]:${port}/a.png`, 'not public'],
    ['a name of a private address', () => `http://private.test:${port}/a.png`, 'not public'],
    ['a name of which one address is private', () => `http://both.test:${port}/a.png`, 'not public'],
    ['a name without an address', () => `http://nowhere.test/a.png`, 'not public'],
    ['a redirect to the cloud’s metadata', () => `${base}/to-metadata`, 'not public'],
    ['a redirect to a private name', () => `${base}/to-private-name`, 'not public'],
    ['a redirect to a file', () => `${base}/to-file`, 'not http'],
    ['a redirect for ever', () => `${base}/loop`, 'more than 3 times'],
    ['a user and password', () => `http://u:p@pictures.test:${port}/a.png`, 'user or password'],
    ['something that is no image', () => `${base}/html`, 'not a PNG'],
    ['an error page', () => `${base}/missing`, '404'],
    ['a closed port', () => 'http://pictures.test:1/a.png', 'could not be fetched'],
  ])('are refused for %s', async (_what, link, message) => {
    const thrown: unknown = await fetchOne(link()).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: 'invalid_image', message: expect.stringContaining(message) as string });
  });

  it('are bounded in size, time and number', async () => {
    await expect(fetchOne(`${base}/endless`, images({ remote_limit_mb: 1 }))).rejects.toThrow(/larger than 1 MB/);
    await expect(fetchOne(`${base}/slow`, images({ remote_timeout_secs: 0.1 }))).rejects.toThrow(/within 0\.1 s/);
    const many = [1, 2, 3].map((i) => `${base}/a.png?${i}`);
    await expect(images({ remote_max: 2 }).fetchAll(many, never)).rejects.toThrow(/at most 2/);
  });

  it('are not waited for when the client has left', async () => {
    const controller = new AbortController();
    const fetching = images().fetchAll([`${base}/slow`], controller.signal);
    setTimeout(() => controller.abort(new Error('left')), 50);
    await expect(fetching).rejects.toThrow('left');
  });

  it('are connected to at the address that was checked, whatever the name says a moment later', async () => {
    let nLookups = 0;
    const rebinding = images(
      {},
      {
        resolve: async () => {
          nLookups += 1;
          return [{ address: nLookups === 1 ? '127.0.0.1' : '10.0.0.1', family: 4 }];
        },
      },
    );
    expect(await fetchOne(`${base}/a.png`, rebinding)).toBe(dataUri);
    expect(nLookups).toBe(1);
  });
});

describe('a link as an attacker writes it, in the real world', () => {
  const real = new RemoteImages({
    settings: cortexConfigSchema.parse({ images: { allow_remote: true, remote_timeout_secs: 0.3 } }).images,
  });

  it.each([
    'http://2130706433/a.png',
    'http://0x7f.1/a.png',
    'http://0177.0.0.1/a.png',
    'http://127.1/a.png',
    'http://0.0.0.0/a.png',
    'http://169.254.169.254/latest',
    'http://[::]/a.png',
    'http://[::1]/a.png',
    'http://[::ffff:127.0.0.1]/a.png',
    'http://[64:ff9b::7f00:1]/a.png',
    'http://[fd00:ec2::254]/a.png',
    'http://１２７.0.0.1/a.png',
    'http://localhost./a.png',
  ])('leads nowhere: %s', async (link) => {
    await expect(real.fetchAll([link], never)).rejects.toMatchObject({ code: 'invalid_image' });
    await expect(real.fetchAll([link], never)).rejects.toThrow(/not public|no address/);
  });

  it('is not waited for longer than the deadline when its name server does not answer', async () => {
    const settings = cortexConfigSchema.parse({ images: { allow_remote: true, remote_timeout_secs: 0.2 } }).images;
    const silent = new RemoteImages({ settings, resolve: () => new Promise(() => undefined) });
    await expect(silent.fetchAll(['http://silent.test/a.png'], never)).rejects.toThrow(/within 0.2 s/);
  });
});
