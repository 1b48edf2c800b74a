/**
 * Ids of texts encoded before. A conversation comes back with every turn, grown by one message: the messages it
 * already had are the same texts between the same control tokens, and need no encoding again.
 */

/** Below this the lookup costs as much as it saves. */
const textCharsMin = 128;

const outsideLatin1 = /[\u0100-\uffff]/;

/** As V8 holds them: a byte for each character where one is enough for all, and the ids' four. */
const bytesOf = (text: string, ids: Int32Array): number =>
  text.length * (outsideLatin1.test(text) ? 2 : 1) + ids.byteLength;

export class SegmentCache {
  readonly #bytesMax: number;
  /** Least recently used first. */
  readonly #entries = new Map<string, Int32Array>();
  #nBytes = 0;

  /** The default is about a million tokens of English. */
  constructor(bytesMax = 8 * 2 ** 20) {
    this.#bytesMax = bytesMax;
  }

  /** @returns the kept ids of `text`, or those `encode` gives. */
  encode(text: string, encode: (text: string) => readonly number[]): Iterable<number> {
    if (text.length < textCharsMin || text.length > this.#bytesMax) return encode(text);
    const kept = this.#entries.get(text);
    if (kept !== undefined) {
      this.#entries.delete(text);
      this.#entries.set(text, kept);
      return kept;
    }
    const ids = Int32Array.from(encode(text));
    const nBytes = bytesOf(text, ids);
    if (nBytes > this.#bytesMax) return ids;
    // A copy: a slice would keep the whole prompt it was cut from alive.
    this.#entries.set(Buffer.from(text, 'utf16le').toString('utf16le'), ids);
    this.#nBytes += nBytes;
    for (const [oldest, oldestIds] of this.#entries) {
      if (this.#nBytes <= this.#bytesMax) break;
      this.#entries.delete(oldest);
      this.#nBytes -= bytesOf(oldest, oldestIds);
    }
    return ids;
  }
}
