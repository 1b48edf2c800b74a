/**
 * Long texts to UTF-8 and back. One character beyond Latin-1, and agents' prompts have some, makes V8 keep a text in
 * two bytes a character; `Buffer.from` and `toString` then take several times as long as going through UTF-16 does.
 */
import { isAscii, isUtf8, transcode } from 'node:buffer';

/** Up to here calling into another converter costs more than it saves. */
const shortChars = 4096;

/** `JSON.stringify` as bytes; it writes lone surrogates as escapes, so that there is nothing that UTF-8 can't say. */
export const jsonBytes = (value: object): Buffer => {
  const json = JSON.stringify(value);
  return json.length <= shortChars ? Buffer.from(json) : transcode(Buffer.from(json, 'utf16le'), 'utf16le', 'utf8');
};

/** What is no UTF-8 becomes U+FFFD. */
export const textOf = (bytes: Buffer): string => {
  if (isAscii(bytes)) return bytes.toString('latin1');
  return isUtf8(bytes) ? transcode(bytes, 'utf8', 'utf16le').toString('utf16le') : bytes.toString('utf8');
};
