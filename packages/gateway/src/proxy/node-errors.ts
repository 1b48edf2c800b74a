/**
 * What went wrong at a node, as a row of the error table, and what follows from it: whether another node may try,
 * and whether this one is to blame. Pure.
 */
import { CortexError, isErrorCode, type ErrorCode, type ErrorFacts } from '@cortex/core';
import type { LeaseOutcome } from '../fleet/contract.ts';

const codeOf = (thrown: unknown): string => {
  if (!(thrown instanceof Error)) return '';
  if ('code' in thrown && typeof thrown.code === 'string') return thrown.code;
  // undici names what was wrong with the bytes by a code only where it finds it.
  return thrown.name === 'HTTPParserError' ? 'HPE_UNKNOWN' : '';
};

/** Thrown by a connection: refused, reset, timed out, not HTTP. */
export const fromTransport = (thrown: unknown, node: string): CortexError => {
  const code = codeOf(thrown);
  // Whatever carries no system code was not thrown by a socket: it is ours.
  if (thrown instanceof CortexError || code === '') return CortexError.from(thrown);
  const options = { cause: thrown, facts: { node } };
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT')
    return new CortexError('upstream_timeout', `node ${node} did not accept a connection in time`, options);
  if (code === 'ECONNREFUSED')
    return new CortexError('upstream_disconnected', `node ${node} refused the connection`, options);
  if (code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW')
    return new CortexError('upstream_error', `node ${node} did not answer in HTTP`, options);
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new CortexError('upstream_disconnected', `the connection to node ${node} broke: ${why}`, options);
};

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Seconds of a `Retry-After` header, which is a number or a date. */
export const retryAfterSecs = (header: string | undefined, nowMs: number): number | undefined => {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header);
  const at = Date.parse(header);
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - nowMs) / 1000));
};

const factOf = (value: unknown): value is string | number | boolean | null | string[] =>
  value === null ||
  ['string', 'number', 'boolean'].includes(typeof value) ||
  (Array.isArray(value) && value.every((one) => typeof one === 'string'));

const factsOf = (error: Readonly<Record<string, unknown>>, node: string): ErrorFacts => ({
  ...Object.fromEntries(
    Object.entries(error).filter((entry): entry is [string, string | number | boolean | null | string[]] => {
      const [key, value] = entry;
      return !['message', 'type', 'code', 'param'].includes(key) && factOf(value);
    }),
  ),
  node,
});

/**
 * Codes of a node's answer that mean something else to the client, who did not choose the node: the gateway's own
 * token was refused, its view of the node was stale, or the node broke.
 */
const nodesOwnTrouble: ReadonlySet<ErrorCode> = new Set([
  'internal_error',
  'model_load_failed',
  'invalid_api_key',
  'forbidden',
  'model_not_found',
  'not_found',
  'model_busy',
  'client_closed_request',
]);

/** For engines that know no codes of ours. */
const codeForStatus = (status: number, message: unknown): ErrorCode => {
  if (status === 400 || status === 422) return 'invalid_request';
  // Engines without, say, `/v1/completions` answer so too, of which their models are not to blame.
  if (status === 404) return typeof message === 'string' && /model/i.test(message) ? 'model_not_found' : 'not_found';
  if (status === 413) return 'request_too_large';
  if (status === 429) return 'rate_limit_exceeded';
  if (status === 503) return 'overloaded';
  if (status === 408 || status === 504) return 'upstream_timeout';
  return 'upstream_error';
};

/**
 * The `error` member of an answer or of a stream's event. `status` 0: it came inside a stream. What the node called
 * its own trouble is the cause.
 */
export const fromErrorMember = (member: unknown, status: number, node: string, retryAfter?: number): CortexError => {
  const error = isObject(member) ? member : {};
  const message = [error['message'], member].find((text) => typeof text === 'string' && text !== '');
  const known = isErrorCode(error['code']) ? error['code'] : codeForStatus(status === 0 ? 502 : status, message);
  const text = typeof message === 'string' ? message : `node ${node} answered ${status === 0 ? 'an error' : status}`;
  const isOwnTrouble = nodesOwnTrouble.has(known);
  return new CortexError(isOwnTrouble ? 'upstream_error' : known, text, {
    facts: factsOf(error, node),
    ...(isOwnTrouble ? { cause: new CortexError(known, text) } : {}),
    ...(typeof error['param'] === 'string' ? { param: error['param'] } : {}),
    ...(retryAfter === undefined ? {} : { retryAfterSecs: retryAfter }),
  });
};

/** The `error` member of what should be an answer; null: it has none, or one that says nothing. */
export const errorMemberOf = (body: unknown): unknown => {
  const error = isObject(body) ? body['error'] : null;
  return isObject(error) || (typeof error === 'string' && error !== '') ? error : null;
};

/** Null: not JSON. */
const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

/** `text` came where a stream was asked for: it may be the node's own error. */
export const fromNoStream = (text: string, node: string): CortexError => {
  const error = errorMemberOf(parse(text));
  if (error !== null) return fromErrorMember(error, 0, node);
  const message = `node ${node} answered something that is no event stream`;
  return new CortexError('upstream_error', message, { facts: { node } });
};

/** An answer that is not 2xx. `body` may be cut short. */
export const fromAnswer = (status: number, body: string, node: string, retryAfter?: number): CortexError => {
  const parsed = parse(body);
  // vLLM and others put message and type at the top.
  const member = isObject(parsed) ? (parsed['error'] ?? parsed) : null;
  return fromErrorMember(member, status, node, retryAfter);
};

/** Whether another node may be asked, as long as the client has seen nothing of the answer. */
export const failsOver = (error: CortexError): boolean =>
  error.row.source !== 'client' && error.code !== 'internal_error';

/**
 * What the fleet should hear of: failures feed the node's circuit; being full or loading does not, but keeps that
 * model from being asked for there until the node has been looked at again.
 */
const tellsOfNode: ReadonlySet<ErrorCode> = new Set([
  'upstream_error',
  'upstream_disconnected',
  'upstream_timeout',
  'device_poisoned',
  'rate_limit_exceeded',
  'overloaded',
  'model_loading',
  'insufficient_vram',
]);

const causeOf = ({ code, cause }: CortexError): CortexError | null =>
  code === 'upstream_error' && cause instanceof CortexError ? cause : null;

/**
 * The node does not have, just gives up, or has no room to load again a model that the fleet took for loaded there: no
 * sign of ill health.
 */
const staleViewOf = (error: CortexError): CortexError | null => {
  if (error.code === 'insufficient_vram') return error;
  const cause = causeOf(error);
  return cause?.code === 'model_not_found' || cause?.code === 'model_busy' ? cause : null;
};

export const isStaleView = (error: CortexError): boolean => staleViewOf(error) !== null;

export const outcomeOf = (error: CortexError): LeaseOutcome =>
  tellsOfNode.has(error.code) && causeOf(error)?.code !== 'not_found'
    ? { kind: 'failed', error: staleViewOf(error) ?? error }
    : { kind: 'client' };
