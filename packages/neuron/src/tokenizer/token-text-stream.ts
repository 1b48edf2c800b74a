/**
 * Tokens to text as they come. The pieces, joined, are what decoding all of the tokens at once gives: a character
 * whose bytes are spread over several tokens is held back until it is whole, or is known to be broken.
 */

/** What of a vocabulary the stream reads. */
export interface TokenBytes {
  tokenBytes(id: number): Uint8Array;
  isControl(id: number): boolean;
}

export class TokenTextStream {
  readonly #tokens: TokenBytes;
  readonly #skipSpecial: boolean;
  /** The BOM is text here, as to Hugging Face. */
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  /** `skipSpecial` (the default) leaves control tokens out; other added tokens, such as `<think>`, always stay. */
  constructor(tokens: TokenBytes, { skipSpecial = true }: { readonly skipSpecial?: boolean } = {}) {
    this.#tokens = tokens;
    this.#skipSpecial = skipSpecial;
  }

  /** @returns the text that has become certain, often none. */
  push(id: number): string {
    if (this.#skipSpecial && this.#tokens.isControl(id)) return '';
    const bytes = this.#tokens.tokenBytes(id);
    return bytes.length === 0 ? '' : this.#decoder.decode(bytes, { stream: true });
  }

  /** @returns what was held back: U+FFFD for an unfinished character. The stream can be used again. */
  flush(): string {
    return this.#decoder.decode();
  }
}
