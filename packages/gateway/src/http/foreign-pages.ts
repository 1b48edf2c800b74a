/**
 * What a browser may be made to do here by a page of somebody else. Such a page can send a simple POST to any address,
 * and by pointing its own name at this one (DNS rebinding) it can pass for ours. Only browsers are asked: they alone
 * carry people from page to page, and they say so with `Origin` and `Sec-Fetch-Site`.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { CortexError } from '@cortex/core';

/** Names that no public DNS server answers for, so that nobody else can point them here. */
const privateSuffixes = ['.localhost', '.local', '.lan', '.home', '.internal', '.home.arpa'];

/** `Host` without its port, in lower case. */
const nameOf = (host: string): string =>
  host
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase();

const isOwnName = (name: string, known: readonly string[]): boolean =>
  isIP(name) !== 0 ||
  !name.includes('.') ||
  name === hostname().toLowerCase() ||
  privateSuffixes.some((suffix) => name.endsWith(suffix)) ||
  known.some((one) => one.toLowerCase() === name);

const isBrowser = (headers: IncomingHttpHeaders): boolean =>
  headers.origin !== undefined || headers['sec-fetch-site'] !== undefined;

/** Browsers say `Sec-Fetch-Site` to https and localhost only; `Origin` comes with every POST. */
const isForeign = (headers: IncomingHttpHeaders): boolean => {
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const { origin, host } = headers;
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== host?.toLowerCase();
};

const saysJson = (type: string | undefined): boolean => /^application\/json\s*(?:;|$)/i.test(type ?? '');

/** Of what changes the fleet. @throws CortexError `forbidden`, `invalid_request` */
export const refuseForeignChange = (headers: IncomingHttpHeaders): void => {
  if (!isBrowser(headers)) return;
  if (isForeign(headers)) throw new CortexError('forbidden', 'this is not done for pages of other sites');
  // What a page can send without asking first is never of this type.
  if (!saysJson(headers['content-type']))
    throw new CortexError('invalid_request', 'a page must send this with "content-type: application/json"');
};

/**
 * Of whoever brought no key, which is what a foreign page can't have. @param known `browser_hosts` of cortex.toml
 * @throws CortexError `forbidden`
 */
export const refuseRebound = (headers: IncomingHttpHeaders, known: readonly string[]): void => {
  if (!isBrowser(headers)) return;
  const name = nameOf(headers.host ?? '');
  if (isOwnName(name, known)) return;
  const shown = JSON.stringify(name.slice(0, 256));
  const how = `add it to browser_hosts under [gateway] of cortex.toml, or configure [[keys]]`;
  throw new CortexError('forbidden', `browsers may not call this gateway as ${shown} without a key: ${how}`);
};
