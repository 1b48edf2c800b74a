/**
 * A vocabulary as one packed table: the exact bytes each token contributes to text. The table is shared memory, so
 * every thread reads the same copy, and decoding needs nothing else.
 */
import { bytesOfToken } from './byte-alphabet.ts';
import { TokenTextStream } from './token-text-stream.ts';
import type { TokenizerDefinition } from './tokenizer-files.ts';

/** Plain data that crosses threads without a copy. `n` is the number of ids. */
export interface VocabularyBytes {
  /** All tokens' bytes, in order of id. */
  readonly bytes: Uint8Array;
  /** [n + 1]; token `id` is `bytes[offsets[id] .. offsets[id + 1])`. */
  readonly offsets: Uint32Array;
  /** [n]; 1 for control tokens and for ids without a token, which never belong in text. */
  readonly control: Uint8Array;
}

export interface VocabularyData extends VocabularyBytes {
  /** Ids of tokens with a name of their own, by content. */
  readonly added: ReadonlyMap<string, number>;
}

const utf8 = new TextEncoder();

const noBytes = new Uint8Array(0);

export class Vocabulary {
  readonly data: VocabularyData;

  constructor(data: VocabularyData) {
    this.data = data;
  }

  static of({ json, addedTokens }: TokenizerDefinition): Vocabulary {
    const tokens: (Uint8Array | undefined)[] = [];
    for (const [token, id] of Object.entries(json.model.vocab)) tokens[id] = bytesOfToken(token);
    for (const { id, content } of addedTokens) tokens[id] = utf8.encode(content);
    const nTokens = tokens.length;
    const nBytes = tokens.reduce((sum, token) => sum + (token?.length ?? 0), 0);
    const bytes = new Uint8Array(new SharedArrayBuffer(nBytes));
    const offsets = new Uint32Array(new SharedArrayBuffer((nTokens + 1) * Uint32Array.BYTES_PER_ELEMENT));
    const control = new Uint8Array(new SharedArrayBuffer(nTokens));
    let end = 0;
    for (let id = 0; id < nTokens; id += 1) {
      const token = tokens[id];
      bytes.set(token ?? noBytes, end);
      end += token?.length ?? 0;
      offsets[id + 1] = end;
      if (token === undefined) control[id] = 1;
    }
    for (const { id, special } of addedTokens) if (special) control[id] = 1;
    return new Vocabulary({ bytes, offsets, control, added: new Map(addedTokens.map((t) => [t.content, t.id])) });
  }

  /** Highest id plus one; a model's embedding may have more rows, which stand for nothing. */
  get nTokens(): number {
    return this.data.control.length;
  }

  /** A view, not a copy: the bytes `id` contributes; none where there is no such token. */
  tokenBytes(id: number): Uint8Array {
    const { bytes, offsets } = this.data;
    const start = offsets[id];
    const end = offsets[id + 1];
    return start === undefined || end === undefined ? noBytes : bytes.subarray(start, end);
  }

  /** The id of the added token with this content, such as `<|im_end|>`. */
  idOf(content: string): number | undefined {
    return this.data.added.get(content);
  }

  /** True for control tokens and for ids that stand for nothing. */
  isControl(id: number): boolean {
    return this.data.control[id] !== 0;
  }

  /** Bytes that are not UTF-8 become U+FFFD, one for each maximal part, as in Hugging Face's decoder. */
  decode(ids: Iterable<number>, { skipSpecial }: { readonly skipSpecial: boolean }): string {
    const stream = new TokenTextStream(this, { skipSpecial });
    let text = '';
    for (const id of ids) text += stream.push(id);
    return text + stream.flush();
  }
}
