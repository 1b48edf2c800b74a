/**
 * Headers across the gateway, after RFC 9110 §7.6: what belongs to one connection stays on it, `Via` grows by our
 * name, and nothing that identifies the client's key is ever sent on.
 */
import { hash } from 'node:crypto';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { callerHeaders, promptTokensHeader } from '@cortex/core';

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
  // Of the client's protocol: nodes are asked in OpenAI's.
  'anthropic-version',
  'anthropic-beta',
  callerHeaders.client,
  callerHeaders.priority,
]);

const noNames: ReadonlySet<string> = new Set();

/** The headers that `Connection` names belong to the connection too. */
const namedByConnection = (value: string | readonly string[] | undefined): ReadonlySet<string> => {
  if (value === undefined || value === 'keep-alive' || value === 'close') return noNames;
  const lines = typeof value === 'string' ? value : value.join(',');
  return new Set(lines.split(',').map((token) => token.trim().toLowerCase()));
};

export interface ForwardIdentity {
  /** Our name in `Via`: unique to this process, so that a loop of gateways is seen. */
  readonly via: string;
  readonly requestId: string;
  /** Who asks, for fairness at the node. */
  readonly caller?: { readonly clientId: string; readonly priority: number };
  /** Bearer token the node wants. */
  readonly token: string | null;
}

/** Each is asked for again and again. */
const aliases = new Map<string, string>();
const aliasesMax = 1024;

/** The node has to tell clients apart, and needs to know none of them. */
const aliasOf = (clientId: string, via: string): string => {
  const name = `${via} ${clientId}`;
  const known = aliases.get(name);
  if (known !== undefined) return known;
  const alias = hash('sha256', name, 'hex').slice(0, 32);
  if (aliases.size >= aliasesMax) aliases.clear();
  aliases.set(name, alias);
  return alias;
};

export const forwardHeaders = (client: IncomingHttpHeaders, identity: ForwardIdentity): Record<string, string> => {
  const before = client.via ?? '';
  const headers: Record<string, string> = {};
  const named = namedByConnection(client.connection);
  for (const name in client) {
    if (hopByHop.has(name) || notForwarded.has(name) || named.has(name)) continue;
    const value = client[name];
    if (value !== undefined) headers[name] = typeof value === 'string' ? value : value.join(', ');
  }
  headers['content-type'] = 'application/json';
  headers['x-request-id'] = identity.requestId;
  if (identity.caller !== undefined) {
    const { clientId, priority } = identity.caller;
    headers[callerHeaders.client] = aliasOf(clientId, identity.via);
    if (priority !== 0) headers[callerHeaders.priority] = String(priority);
  }
  headers['via'] = before === '' ? `1.1 ${identity.via}` : `${before}, 1.1 ${identity.via}`;
  if (identity.token !== null) headers['authorization'] = `Bearer ${identity.token}`;
  return headers;
};

/** Length and date are set where the answer is written; the rest are ours to say. */
const notAnswered = new Set(['content-length', 'date', 'server', 'x-request-id', 'set-cookie']);

/** The node's headers for the client. */
export const answerHeaders = (node: IncomingHttpHeaders): OutgoingHttpHeaders => {
  const headers: OutgoingHttpHeaders = {};
  const named = namedByConnection(node.connection);
  for (const name in node) {
    if (hopByHop.has(name) || notAnswered.has(name) || named.has(name)) continue;
    if (name.startsWith('x-cortex-') && name !== promptTokensHeader) continue;
    const value = node[name];
    if (value !== undefined) headers[name] = value;
  }
  return headers;
};
