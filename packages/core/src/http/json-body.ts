/**
 * Reads a JSON object within its limits and keeps its bytes, which may be forwarded as they are. A body that says it
 * is too large is refused before a byte of it is read, one that does not say so as soon as it is.
 */
import type { IncomingMessage } from 'node:http';
import type { Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { CortexError } from '../errors.ts';
import { isDeeperThan } from './json-depth.ts';
import { textOf } from './utf8.ts';

export interface JsonBody {
  readonly bytes: Buffer;
  readonly object: { readonly [key: string]: unknown };
}

const mb = 1024 * 1024;
/** No schema of a tool comes near it. */
const depthMax = 512;
const byteOrderMark = Buffer.from('\uFEFF');

const tooLarge = (bytesMax: number): CortexError => {
  const facts = { limit_bytes: bytesMax };
  return new CortexError('request_too_large', `the body is larger than ${bytesMax / mb} MB`, { facts });
};

const parseObject = (bytes: Buffer): JsonBody['object'] => {
  // Each level takes two bytes.
  if (bytes.length > 2 * depthMax && isDeeperThan(bytes, depthMax))
    throw new CortexError('invalid_request', `the body nests deeper than ${depthMax} levels`);
  let value: unknown;
  try {
    value = JSON.parse(textOf(bytes));
  } catch (error) {
    // V8 quotes the text around the mistake: keep where it is, not what was sent.
    const where = /at position \d+/.exec(error instanceof Error ? error.message : '')?.[0];
    throw new CortexError('invalid_request', `the body is not JSON${where === undefined ? '' : ` (${where})`}`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonBody['object'];
  throw new CortexError('invalid_request', 'the body is not a JSON object');
};

/** What a body may be compressed with. */
const decoders: ReadonlyMap<string, () => Transform> = new Map([
  ['gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
]);

/** Its bytes as they were before they were compressed. @throws CortexError `invalid_request` */
const plainBytesOf = (request: IncomingMessage): Readable => {
  const coding = request.headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (coding === 'identity') return request;
  const decoder = decoders.get(coding);
  if (decoder !== undefined) return request.pipe(decoder());
  const known = [...decoders.keys()].join(', ');
  throw new CortexError('invalid_request', `bodies of content-encoding ${coding} are not taken; ${known} are`);
};

/** Limits hold for what was compressed: it is read no further than they go. */
const readChunks = (
  request: IncomingMessage,
  bytesMax: number,
  hold: (bytes: number) => void,
): Promise<readonly Buffer[]> =>
  new Promise((resolve, reject) => {
    const source = plainBytesOf(request);
    const chunks: Buffer[] = [];
    let received = 0;
    const refuse = (error: unknown): void => {
      // What is left of a refused body is read and dropped, so that the answer can be received.
      source.off('data', take);
      if (source !== request) {
        request.unpipe();
        source.destroy();
      }
      request.resume();
      reject(error);
    };
    const take = (chunk: Buffer): void => {
      received += chunk.length;
      if (received > bytesMax) {
        refuse(tooLarge(bytesMax));
        return;
      }
      try {
        hold(chunk.length);
        chunks.push(chunk);
      } catch (error) {
        refuse(error);
      }
    };
    source.on('data', take);
    source.once('end', () => resolve(chunks));
    request.once('error', (cause) =>
      refuse(new CortexError('client_closed_request', 'the client left while sending the body', { cause })),
    );
    if (source === request) return;
    source.once('error', (cause) =>
      refuse(new CortexError('invalid_request', 'the body is not what its content-encoding says', { cause })),
    );
  });

/**
 * @param hold told of bytes before they are kept; it may refuse them
 * @throws CortexError `request_too_large`, `invalid_request`, `client_closed_request`, and what `hold` throws
 */
export const readJsonBody = async (
  request: IncomingMessage,
  bytesMax: number,
  hold: (bytes: number) => void,
): Promise<JsonBody> => {
  if (Number(request.headers['content-length'] ?? 0) > bytesMax) throw tooLarge(bytesMax);
  // Only what has come is held: announcing a large body and not sending it must cost the others nothing.
  const chunks = await readChunks(request, bytesMax, hold);
  const whole = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  const bytes = whole.subarray(0, 3).equals(byteOrderMark) ? whole.subarray(3) : whole;
  return { bytes, object: parseObject(bytes) };
};
