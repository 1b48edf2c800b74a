/**
 * Headers across the gateway, after RFC 9110 §7.6: what belongs to one connection stays on it, `Via` grows by our
 * name, and nothing that identifies the client's key is ever sent on.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { CortexError } from '@cortex/core';

type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/** Said anew by each side, or secret. `accept-encoding`: a compressed stream could not be read on the side. */
const notForwarded = new Set([
  'host',
  'content-length',
  'content-type',
  'expect',
  'accept-encoding',
  'content-encoding',
  'authorization',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
  'cookie',
  'via',
  'x-request-id',
]);

const tokensOf = (value: string | readonly string[] | undefined): string[] =>
  [value ?? []]
    .flat()
    .flatMap((line) => line.split(','))
    .map((token) => token.trim().toLowerCase());

const endToEnd = (headers: Headers): [string, string | readonly string[]][] => {
  const named = headers['connection'] === undefined ? [] : tokensOf(headers['connection']);
  return Object.entries(headers).flatMap(([name, value]) =>
    value === undefined || hopByHop.has(name) || named.includes(name) ? [] : [[name, value]],
  );
};

export interface ForwardIdentity {
  /** Our name in `Via`: unique to this process, so that a loop of gateways is seen. */
  readonly via: string;
  readonly requestId: string;
  /** Bearer token the node wants. */
  readonly token: string | null;
}

/** @throws CortexError `upstream_error` when the request has come through this process before. */
export const forwardHeaders = (client: IncomingHttpHeaders, identity: ForwardIdentity): Record<string, string> => {
  const before = client.via ?? '';
  if (before.includes(identity.via)) {
    throw new CortexError(
      'upstream_error',
      'this request has already passed this gateway: two list each other as nodes',
    );
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of endToEnd(client)) {
    if (!notForwarded.has(name)) headers[name] = typeof value === 'string' ? value : value.join(', ');
  }
  headers['content-type'] = 'application/json';
  headers['x-request-id'] = identity.requestId;
  headers['via'] = before === '' ? `1.1 ${identity.via}` : `${before}, 1.1 ${identity.via}`;
  if (identity.token !== null) headers['authorization'] = `Bearer ${identity.token}`;
  return headers;
};

/** The node's headers for the client; length, date and our own names are set where the answer is written. */
export const answerHeaders = (node: Headers): OutgoingHttpHeaders => {
  const headers: OutgoingHttpHeaders = {};
  for (const [name, value] of endToEnd(node)) {
    if (name === 'content-length' || name === 'date' || name === 'server' || name.startsWith('x-cortex-')) continue;
    if (name === 'x-request-id' || name === 'set-cookie') continue;
    headers[name] = typeof value === 'string' ? value : [...value];
  }
  return headers;
};
