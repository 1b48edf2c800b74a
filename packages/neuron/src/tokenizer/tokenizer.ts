/**
 * Text to token ids, as Hugging Face tokenizers would give them for the same `tokenizer.json`. Encoding is long,
 * synchronous work: servers run it off their main thread (see `chat/prompt-thread.ts`).
 */
import { CortexError } from '@cortex/core';
import { Tokenizer as Pipeline } from '@huggingface/tokenizers';
import { AddedTokenSplitter } from './added-token-splitter.ts';
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

/** The library's pipeline without added tokens, so that its BPE can never produce one from plain text. */
const createPipeline = ({ json }: TokenizerDefinition): Pipeline => {
  const definition = {
    ...json,
    added_tokens: [],
    normalizer: json.normalizer ?? null,
    pre_tokenizer: json.pre_tokenizer ?? null,
    post_processor: json.post_processor ?? null,
  };
  try {
    const pipeline = new Pipeline(definition, {});
    pipeline.encode('probe');
    return pipeline;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CortexError('model_load_failed', `tokenizer.json: ${message}`, {
      facts: { file: 'tokenizer.json' },
      cause: error,
    });
  }
};

/** The ids the post-processor puts before and after a text, found by sending a marker through it. */
const wrappingOf = (pipeline: Pipeline, addedTokens: readonly AddedToken[]): [prefix: number[], suffix: number[]] => {
  if (pipeline.post_processor === null) return [[], []];
  const marker = '\u0000text\u0000';
  const { tokens } = pipeline.post_processor([marker], null, true);
  const added = new Map(addedTokens.map((token) => [token.content, token.id]));
  const idsOf = (contents: readonly string[]): number[] =>
    contents.flatMap((content) => added.get(content) ?? pipeline.token_to_id(content) ?? []);
  const at = tokens.indexOf(marker);
  return [idsOf(tokens.slice(0, at)), idsOf(tokens.slice(at + 1))];
};

export class Tokenizer {
  readonly vocabulary: Vocabulary;
  /** Control tokens, in order of id. */
  readonly controlTokens: readonly AddedToken[];
  /** Added tokens that are text, such as `<think>`. */
  readonly plainAddedTokens: readonly AddedToken[];
  readonly #pipeline: Pipeline;
  readonly #normalize: (text: string) => string;
  readonly #splitters: { readonly all: Splitters; readonly withoutControl: Splitters };
  readonly #hasNormalizedTokens: boolean;
  readonly #prefix: readonly number[];
  readonly #suffix: readonly number[];

  constructor(definition: TokenizerDefinition) {
    const tokens = definition.addedTokens.toSorted((a, b) => a.id - b.id);
    this.vocabulary = Vocabulary.of(definition);
    this.controlTokens = tokens.filter((token) => token.special);
    this.plainAddedTokens = tokens.filter((token) => !token.special);
    this.#pipeline = createPipeline(definition);
    [this.#prefix, this.#suffix] = wrappingOf(this.#pipeline, tokens);
    // Normalised here, once: between the two passes of added tokens the text must already be in its final form.
    const { normalizer } = this.#pipeline;
    this.#pipeline.normalizer = null;
    this.#normalize = normalizer === null ? (text) => text : (text) => normalizer.normalize(text);
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
    const ids: number[] = addSpecial ? [...this.#prefix] : [];
    for (const segment of raw.split(text)) {
      if (segment.kind === 'token') ids.push(segment.token.id);
      else this.#encodeNormalized(this.#normalize(segment.text), normalized, ids);
    }
    if (addSpecial) ids.push(...this.#suffix);
    return ids;
  }

  #encodeNormalized(text: string, splitter: AddedTokenSplitter, ids: number[]): void {
    const segments = this.#hasNormalizedTokens ? splitter.split(text) : [{ kind: 'text', text } as const];
    for (const segment of segments) {
      if (segment.kind === 'token') ids.push(segment.token.id);
      else for (const id of this.#pipeline.encode(segment.text, { add_special_tokens: false }).ids) ids.push(id);
    }
  }

  decode(ids: Iterable<number>, options: { readonly skipSpecial: boolean }): string {
    return this.vocabulary.decode(ids, options);
  }
}
