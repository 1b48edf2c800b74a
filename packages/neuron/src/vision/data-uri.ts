/**
 * The bytes behind an `image_url`. A neuron reads data URIs only: whether remote images may be fetched, and from
 * where, is the gateway's decision.
 */
import { setImmediate as turnOfTheLoop } from 'node:timers/promises';
import { CortexError } from '@cortex/core';

/** Base64 characters decoded before other work gets a turn: about 5 ms. A multiple of 4. */
const sliceChars = 2 ** 21;

const invalid = (message: string): CortexError => new CortexError('invalid_image', message);

/** Where the payload starts, after `data:image/…;base64,`. */
const payloadStart = (url: string): number => {
  // A header this long is no image's; the bound keeps the search off a huge payload without a comma.
  const head = url.slice(0, 256);
  const scheme = /^\s*([a-z][a-z0-9+.-]*):/i.exec(head)?.[1]?.toLowerCase();
  if (scheme === 'http' || scheme === 'https') {
    throw invalid(
      'this neuron reads images from data: URIs only; the gateway fetches remote images where it is allowed to',
    );
  }
  if (scheme !== 'data') throw invalid('expected a data: URI, data:image/png;base64,…');
  const header = /^\s*data:([^,;]*)((?:;[^,;]*)*),/i.exec(head);
  if (header === null) throw invalid('the data: URI has no comma before its data');
  const mediaType = (header[1] ?? '').trim().toLowerCase();
  if (!/^image\/[a-z0-9.+-]+$/.test(mediaType)) {
    throw invalid(`the data: URI is of type ${JSON.stringify(mediaType)}; expected image/png, jpeg, webp or gif`);
  }
  if (!/;\s*base64\s*$/i.test(header[2] ?? '')) throw invalid('the data: URI is not base64');
  return header[0].length;
};

const isSpace = (code: number): boolean => code === 32 || (code >= 9 && code <= 13);
const equalsSign = 61;

/** Where the base64 digits end, and how many `=` follow them. */
const payloadEnd = (url: string, start: number): { end: number; nPads: number } => {
  let end = url.length;
  let nPads = 0;
  while (end > start) {
    const code = url.charCodeAt(end - 1);
    if (code === equalsSign && nPads < 2) nPads += 1;
    else if (!isSpace(code)) break;
    end -= 1;
  }
  return { end, nPads };
};

const notBase64 = (): CortexError => invalid('the data: URI is not valid base64');

/**
 * Base64 as the WHATWG's forgiving decoder takes it: white space anywhere, padding optional but right where present.
 * The URL-safe alphabet passes too. Decodes in slices so that a large photo does not hold up the event loop, into
 * shared memory so that a worker thread reads it without a copy.
 *
 * @throws CortexError `invalid_image` for anything but a base64 data URI of an image type, `request_too_large` when
 * the file would be above `bytesMax`.
 */
export const decodeDataUri = async (url: string, bytesMax: number): Promise<Uint8Array<SharedArrayBuffer>> => {
  const start = payloadStart(url);
  const { end, nPads } = payloadEnd(url, start);
  const memory = new SharedArrayBuffer(Math.min(Math.ceil((end - start) * 0.75), bytesMax));
  const out = Buffer.from(memory);
  let nBytes = 0;
  let nDigits = 0;
  let carry = '';
  for (let from = start; from < end; from += sliceChars) {
    if (from > start) await turnOfTheLoop();
    const to = Math.min(from + sliceChars, end);
    const digits = carry + url.slice(from, to).replaceAll(/[\t\n\v\f\r ]+/g, '');
    const nWhole = to === end ? digits.length : digits.length - (digits.length % 4);
    carry = digits.slice(nWhole);
    const nExpected = Math.floor(nWhole * 0.75);
    if (nBytes + nExpected > bytesMax) {
      throw new CortexError('request_too_large', `an image may be at most ${bytesMax} bytes`, {
        facts: { limit: bytesMax },
      });
    }
    // `write` skips what is no digit and stops at `=`, so a wrong character shows as missing bytes.
    if (out.write(digits.slice(0, nWhole), nBytes, 'base64') !== nExpected) throw notBase64();
    nBytes += nExpected;
    nDigits += nWhole;
  }
  if (nDigits % 4 === 1 || (nPads > 0 && (nDigits + nPads) % 4 !== 0)) throw notBase64();
  if (nBytes === 0) throw invalid('the data: URI is empty');
  return new Uint8Array(memory, 0, nBytes);
};
