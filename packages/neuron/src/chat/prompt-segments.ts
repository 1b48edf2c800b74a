/**
 * Ids of texts encoded before. A conversation comes back with every turn, grown by one message: the messages it
 * already had are the same texts between the same control tokens, and need no encoding again.
 */

/** Below this the lookup costs as much as it saves. */
const textCharsMin = 128;

export class SegmentCache {
  readonly #charsMax: number;
  /** Least recently used first. */
  readonly #entries = new Map<string, readonly number[]>();
  #nChars = 0;

  /** Keeps texts of at most `charsMax` UTF-16 units together. */
  constructor(charsMax = 8 * 2 ** 20) {
    this.#charsMax = charsMax;
  }

  /** @returns the kept ids of `text`, or those `encode` gives. */
  encode(text: string, encode: (text: string) => readonly number[]): readonly number[] {
    if (text.length < textCharsMin || text.length > this.#charsMax) return encode(text);
    const kept = this.#entries.get(text);
    if (kept !== undefined) {
      this.#entries.delete(text);
      this.#entries.set(text, kept);
      return kept;
    }
    const ids = encode(text);
    // A copy: a slice would keep the whole prompt it was cut from alive.
    this.#entries.set(Buffer.from(text, 'utf16le').toString('utf16le'), ids);
    this.#nChars += text.length;
    for (const oldest of this.#entries.keys()) {
      if (this.#nChars <= this.#charsMax) break;
      this.#entries.delete(oldest);
      this.#nChars -= oldest.length;
    }
    return ids;
  }
}
