/**
 * Text to token ids, as Hugging Face tokenizers would give them for the same `tokenizer.json`. Encoding is long,
 * synchronous work: servers run it off their main thread (see `chat/prompt-thread.ts`).
 */
import { AddedTokenSplitter } from './added-token-splitter.ts';
import { createPipeline, type Pipeline } from './pipeline.ts';
import { readTokenizerDefinition, type AddedToken, type TokenizerDefinition } from './tokenizer-files.ts';
import { Vocabulary } from './vocabulary.ts';

export interface EncodeOptions {
  /**
   * False for text from outside: control tokens spelled out in it stay text. Added tokens that are not control
   * tokens (`<think>`, `<tool_call>`) are recognised either way.
   */
  readonly parseSpecial: boolean;
  /** Add what the tokenizer's post-processor puts around a text, such as a bos token. Default true. */
  readonly addSpecial?: boolean;
}

/** The two passes of added tokens: those looked for in the text as it is, and those in its normalised form. */
interface Splitters {
  readonly raw: AddedTokenSplitter;
  readonly normalized: AddedTokenSplitter;
}

const splittersOf = (tokens: readonly AddedToken[]): Splitters => ({
  raw: new AddedTokenSplitter(tokens.filter((token) => !token.normalized)),
  normalized: new AddedTokenSplitter(tokens.filter((token) => token.normalized)),
});

export class Tokenizer {
  readonly vocabulary: Vocabulary;
  /** Control tokens, in order of id. */
  readonly controlTokens: readonly AddedToken[];
  /** Added tokens that are text, such as `<think>`. */
  readonly plainAddedTokens: readonly AddedToken[];
  readonly #pipeline: Pipeline;
  readonly #splitters: { readonly all: Splitters; readonly withoutControl: Splitters };
  readonly #hasNormalizedTokens: boolean;

  constructor(definition: TokenizerDefinition) {
    const tokens = definition.addedTokens.toSorted((a, b) => a.id - b.id);
    this.vocabulary = Vocabulary.of(definition);
    this.controlTokens = tokens.filter((token) => token.special);
    this.plainAddedTokens = tokens.filter((token) => !token.special);
    this.#pipeline = createPipeline(definition);
    this.#splitters = { all: splittersOf(tokens), withoutControl: splittersOf(this.plainAddedTokens) };
    this.#hasNormalizedTokens = tokens.some((token) => token.normalized);
  }

  /** @throws CortexError `model_load_failed` where `tokenizer.json` is missing, malformed or not byte-level BPE. */
  static async load(dir: string): Promise<Tokenizer> {
    return new Tokenizer(await readTokenizerDefinition(dir));
  }

  /** Unpaired surrogates are encoded as U+FFFD. */
  encode(text: string, { parseSpecial, addSpecial = true }: EncodeOptions): number[] {
    const { raw, normalized } = parseSpecial ? this.#splitters.all : this.#splitters.withoutControl;
    const ids: number[] = addSpecial ? [...this.#pipeline.prefix] : [];
    for (const segment of raw.split(text)) {
      if (segment.kind === 'token') ids.push(segment.token.id);
      else this.#encodeNormalized(this.#pipeline.normalize(segment.text), normalized, ids);
    }
    if (addSpecial) ids.push(...this.#pipeline.suffix);
    return ids;
  }

  #encodeNormalized(text: string, splitter: AddedTokenSplitter, ids: number[]): void {
    const segments = this.#hasNormalizedTokens ? splitter.split(text) : [{ kind: 'text', text } as const];
    for (const segment of segments) {
      if (segment.kind === 'token') ids.push(segment.token.id);
      else for (const id of this.#pipeline.encode(segment.text)) ids.push(id);
    }
  }

  decode(ids: Iterable<number>, options: { readonly skipSpecial: boolean }): string {
    return this.vocabulary.decode(ids, options);
  }
}
