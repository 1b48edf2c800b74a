/**
 * Pictures that a request only links to, fetched once and turned into data URIs, so that no node ever opens a link.
 * Off unless the operator allows it. Invariant: a connection is made only to an address that was checked to be public,
 * the very address the check saw, for the first link and for every redirect alike.
 */
import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { CortexError, type CortexConfig } from '@cortex/core';
import { Agent, request, type Dispatcher } from 'undici';
import { isPublicAddress } from './public-address.ts';

const connectMs = 5000;

export interface RemoteImagesOptions {
  readonly settings: CortexConfig['images'];
  /** Which addresses may be connected to. */
  readonly allows?: (address: string) => boolean;
  readonly resolve?: (host: string) => Promise<readonly LookupAddress[]>;
}

const refuse = (message: string, url: string): CortexError =>
  new CortexError('invalid_image', message, { param: 'messages', facts: { url: url.slice(0, 200) } });

/** By their first bytes, whatever the server calls them. */
const mediaTypeOf = (bytes: Buffer): string | null => {
  const start = bytes.toString('latin1', 0, 12);
  if (start.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png';
  if (start.startsWith('\xff\xd8\xff')) return 'image/jpeg';
  if (start.startsWith('GIF87a') || start.startsWith('GIF89a')) return 'image/gif';
  if (start.startsWith('RIFF') && start.endsWith('WEBP')) return 'image/webp';
  return null;
};

const parseLink = (text: string, link: string): URL => {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw refuse('image_url leads to something that is not http or https', link);
  if (url.username !== '' || url.password !== '') throw refuse('image_url must not hold a user or password', link);
  return url;
};

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);

/** A name server's answer can't be called off, but need not be waited for. */
const orAborted = <T>(work: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const leave = (): void => reject(CortexError.from(signal.reason));
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
  });

/** Connects to these addresses, whatever a name resolves to by then. */
const agentFor = (addresses: readonly LookupAddress[]): Agent => {
  const lookupChecked: LookupFunction = (_host, options, callback) => {
    const first = addresses[0];
    if (options.all === true) callback(null, [...addresses]);
    else callback(null, first?.address ?? '', first?.family);
  };
  return new Agent({ connect: { lookup: lookupChecked, timeout: connectMs } });
};

export class RemoteImages {
  readonly #settings: CortexConfig['images'];
  readonly #allows: (address: string) => boolean;
  readonly #resolve: NonNullable<RemoteImagesOptions['resolve']>;

  constructor(options: RemoteImagesOptions) {
    this.#settings = options.settings;
    this.#allows = options.allows ?? isPublicAddress;
    this.#resolve = options.resolve ?? ((host) => lookup(host, { all: true, verbatim: true }));
  }

  /** Each link's data URI. @throws CortexError `invalid_image`, or `signal`'s reason. */
  async fetchAll(urls: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const first = urls[0];
    if (first === undefined) return new Map();
    const { allow_remote: allowed, remote_max: nMax, remote_timeout_secs: secs } = this.#settings;
    if (!allowed) {
      const how = 'send the picture as a data URI, or let the operator set allow_remote = true under [images]';
      throw refuse(`image_url: links are not fetched here; ${how}`, first);
    }
    if (urls.length > nMax) throw refuse(`${urls.length} linked images; at most ${nMax} are fetched`, first);
    const late = AbortSignal.timeout(secs * 1000);
    const either = AbortSignal.any([signal, late]);
    try {
      return new Map(await Promise.all(urls.map(async (url) => [url, await this.#fetch(url, either)] as const)));
    } catch (thrown) {
      signal.throwIfAborted();
      if (late.aborted) throw refuse(`linked images did not arrive within ${secs} s`, first);
      throw thrown;
    }
  }

  async #fetch(link: string, signal: AbortSignal): Promise<string> {
    let url = parseLink(link, link);
    for (let nRedirects = 0; nRedirects <= this.#settings.redirects_max; nRedirects += 1) {
      const agent = agentFor(await orAborted(this.#checkedAddresses(url, link), signal));
      try {
        const answer = await request(url, { dispatcher: agent, signal, headers: { accept: 'image/*' } });
        const { location } = answer.headers;
        if (!isRedirect(answer.statusCode) || typeof location !== 'string') return await this.#read(answer, link);
        url = parseLink(URL.canParse(location, url.href) ? new URL(location, url.href).href : location, link);
      } catch (thrown) {
        if (thrown instanceof CortexError || signal.aborted) throw thrown;
        const why = thrown instanceof Error ? thrown.message : 'unreachable';
        throw refuse(`image_url could not be fetched: ${why}`, link);
      } finally {
        await agent.destroy();
      }
    }
    throw refuse(`image_url was redirected more than ${this.#settings.redirects_max} times`, link);
  }

  /** All addresses of a host; one that is not public spoils them all. */
  async #checkedAddresses(url: URL, link: string): Promise<readonly LookupAddress[]> {
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const literal = isIP(host);
    let found: readonly LookupAddress[] = [{ address: host, family: literal }];
    if (literal === 0) {
      try {
        found = await this.#resolve(host);
      } catch (thrown) {
        throw new CortexError('invalid_image', 'image_url: its host has no address', {
          cause: thrown,
          param: 'messages',
        });
      }
    }
    if (found.length > 0 && found.every((one) => this.#allows(one.address))) return found;
    throw refuse('image_url leads to an address that is not public', link);
  }

  async #read(answer: Dispatcher.ResponseData, link: string): Promise<string> {
    const bytesMax = this.#settings.remote_limit_mb * 1024 * 1024;
    if (answer.statusCode !== 200) throw refuse(`image_url answered ${answer.statusCode}`, link);
    const pieces: Buffer[] = [];
    let nBytes = 0;
    for await (const piece of answer.body) {
      nBytes += (piece as Buffer).length;
      if (nBytes > bytesMax) throw refuse(`a linked image is larger than ${this.#settings.remote_limit_mb} MB`, link);
      pieces.push(piece as Buffer);
    }
    const bytes = Buffer.concat(pieces);
    const mediaType = mediaTypeOf(bytes);
    if (mediaType === null) throw refuse('a linked image is not a PNG, JPEG, WebP or GIF', link);
    return `data:${mediaType};base64,${bytes.toString('base64')}`;
  }
}
