/**
 * Reads a JSON body within its limits. A body that says it is too large is refused before a byte of it is read,
 * one that does not say so as soon as it is.
 */
import type { IncomingMessage } from 'node:http';
import { CortexError } from '@cortex/core';

const mb = 1024 * 1024;

const tooLarge = (bytesMax: number): CortexError =>
  new CortexError('request_too_large', `the body is larger than ${bytesMax / mb} MB`, {
    facts: { limit_bytes: bytesMax },
  });

const parseJson = (bytes: Buffer): unknown => {
  try {
    const text = bytes.toString('utf8');
    return JSON.parse(text.startsWith('\uFEFF') ? text.slice(1) : text);
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message : 'unreadable';
    // V8 quotes the text around the mistake: keep where it is, not what was sent.
    const where = /at position \d+/.exec(why)?.[0];
    throw new CortexError('invalid_request', `the body is not JSON${where === undefined ? '' : ` (${where})`}`);
  }
};

/**
 * @param hold told of bytes before they are kept; it may refuse them
 * @throws CortexError `request_too_large`, `invalid_request`, `client_closed_request`, and what `hold` throws
 */
export const readJsonBody = async (
  request: IncomingMessage,
  bytesMax: number,
  hold: (bytes: number) => void,
): Promise<unknown> => {
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > bytesMax) throw tooLarge(bytesMax);
  hold(declared);
  const chunks: Buffer[] = [];
  let received = 0;
  try {
    // What is left of a refused body is drained by the server, so the socket must outlive this loop.
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      received += chunk.length;
      if (received > bytesMax) throw tooLarge(bytesMax);
      if (received > declared) hold(Math.min(chunk.length, received - declared));
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof CortexError) throw error;
    throw new CortexError('client_closed_request', 'the client left while sending the body', { cause: error });
  }
  return parseJson(Buffer.concat(chunks, received));
};
