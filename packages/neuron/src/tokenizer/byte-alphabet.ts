/**
 * The alphabet of byte-level BPE (GPT-2's `bytes_to_unicode`): every byte has one printable character, so that a
 * vocabulary of strings can hold any bytes. This is the way back, from a token's string to its bytes.
 */

const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);

/** Printable Latin-1 stands for itself; the other 68 bytes follow from U+0100 on, in order. */
const byteOfChar: ReadonlyMap<number, number> = (() => {
  const table = new Map<number, number>();
  let next = 0x100;
  for (let byte = 0; byte < 256; byte += 1) table.set(isPrintable(byte) ? byte : next++, byte);
  return table;
})();

const utf8 = new TextEncoder();

/** A vocabulary entry's bytes. A string outside the alphabet stands for its own UTF-8, as in Hugging Face's decoder. */
export const bytesOfToken = (token: string): Uint8Array => {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i += 1) {
    const byte = byteOfChar.get(token.charCodeAt(i));
    if (byte === undefined) return utf8.encode(token);
    bytes[i] = byte;
  }
  return bytes;
};
