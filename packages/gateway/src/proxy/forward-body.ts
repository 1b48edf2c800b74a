/** The bytes a node is sent: the client's own wherever that is possible. */
import { jsonBytes } from '@cortex/core';
import type { JsonObject } from '../translate/contract.ts';
import type { Exchange } from './exchange.ts';
import { prependMembers, rewriteMembers } from './rewrite-members.ts';

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Whether the node must be asked for usage figures that the client does not want in its stream. They are taken out
 * again on the way back.
 */
export const addsUsage = (exchange: Pick<Exchange, 'translation' | 'streams'>): boolean => {
  const { request, reply } = exchange.translation;
  if (reply.kind !== 'passthrough' || !exchange.streams) return false;
  const options = request['stream_options'];
  // Anything else that is not an object is an error the node shall name.
  if (options === undefined || options === null) return true;
  return isObject(options) && options['include_usage'] !== true;
};

/** `request`: the translation's, or a copy of it with images inlined. */
export const forwardBody = (exchange: Exchange, request: JsonObject, modelId: string): Buffer => {
  const changes = new Map<string, unknown>();
  if (request['model'] !== modelId) changes.set('model', modelId);
  if (addsUsage(exchange)) {
    const options = request['stream_options'];
    changes.set('stream_options', { ...(isObject(options) ? options : {}), include_usage: true });
  }
  const untouched = exchange.translation.reply.kind === 'passthrough' && request === exchange.translation.request;
  if (!untouched) return jsonBytes({ ...request, ...Object.fromEntries(changes) });
  if (changes.size === 0) return exchange.rawBody;
  const texts = new Map([...changes].map(([key, value]) => [key, JSON.stringify(value)]));
  for (const key of texts.keys()) if (request[key] !== undefined) return rewriteMembers(exchange.rawBody, texts);
  return prependMembers(exchange.rawBody, texts);
};
