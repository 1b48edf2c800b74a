/** Anything thrown on the way becomes a row of the error table, and that row an answer in the client's protocol. */
import { maxHeaderSize, type OutgoingHttpHeaders } from 'node:http';
import type { Socket } from 'node:net';
import { CortexError } from '@cortex/core';

const statusOf = (thrown: object): number =>
  'statusCode' in thrown && typeof thrown.statusCode === 'number' ? thrown.statusCode : 500;

/** Fastify's own refusals are the client's fault; whatever else is unknown is ours and tells no details. */
export const asCortexError = (thrown: unknown, requestId: string): CortexError => {
  if (thrown instanceof CortexError && thrown.code !== 'internal_error') return thrown;
  if (thrown instanceof Error && !(thrown instanceof CortexError)) {
    if ('code' in thrown && thrown.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
      return new CortexError('invalid_request', 'the body must be JSON, sent with "content-type: application/json"');
    const status = statusOf(thrown);
    if (status >= 400 && status < 500) return new CortexError('invalid_request', thrown.message);
  }
  return new CortexError('internal_error', `internal error; the gateway's log has it under ${requestId}`, {
    cause: thrown instanceof CortexError ? (thrown.cause ?? thrown) : thrown,
  });
};

/**
 * Beside the body: when to come again, or that it is no use, and how to identify oneself. Agents repeat even a 401 for
 * minutes, and their libraries every 5xx, unless `x-should-retry`, which they heed, says not to.
 */
export const errorHeaders = (error: CortexError): OutgoingHttpHeaders => ({
  ...(error.retryAfterSecs === undefined ? {} : { 'retry-after': String(Math.ceil(error.retryAfterSecs)) }),
  ...(error.row.retryable ? {} : { 'x-should-retry': 'false' }),
  ...(error.code === 'invalid_api_key' ? { 'www-authenticate': 'Bearer' } : {}),
});

const brokenRequests: ReadonlyMap<string | undefined, string> = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', 'the request took too long to arrive'],
  ['HPE_HEADER_OVERFLOW', `the request's headers are larger than ${maxHeaderSize / 1024} KB`],
]);

/** For bytes that are not even HTTP: there is no request to reply to, only a socket. */
export const answerClientError = (error: Error & { code?: string }, socket: Socket): void => {
  // Once something was written, another status line would be read as part of that answer.
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy();
    return;
  }
  const what = brokenRequests.get(error.code) ?? 'this is not an HTTP request';
  const body = JSON.stringify(new CortexError('invalid_request', what).toBody());
  const head = [
    'HTTP/1.1 400 Bad Request',
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ].join('\r\n');
  socket.end(`${head}\r\n\r\n${body}`);
};
