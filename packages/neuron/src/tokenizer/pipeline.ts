/**
 * Hugging Face's JavaScript tokenizer, reduced to what it is used for here: plain text to ids. Added tokens are kept
 * from it, so that its BPE can never produce one from plain text (`added-token-splitter.ts` finds them instead).
 */
import { CortexError } from '@cortex/core';
import * as library from '@huggingface/tokenizers';
import type { TokenizerDefinition } from './tokenizer-files.ts';

/** Typed here: the declarations the library ships lack the file extensions that NodeNext resolution wants. */
interface LibraryTokenizer {
  normalizer: { normalize(text: string): string } | null;
  readonly post_processor:
    | ((tokens: string[], pair: null, addSpecial: boolean) => { readonly tokens: readonly string[] })
    | null;
  encode(text: string, options: { add_special_tokens: boolean }): { readonly ids: readonly number[] };
  token_to_id(token: string): number | undefined;
}

const { Tokenizer: LibraryTokenizer } = library as unknown as {
  readonly Tokenizer: new (json: object, config: object) => LibraryTokenizer;
};

export interface Pipeline {
  /** The form in which text is split; applying it twice changes nothing more. */
  readonly normalize: (text: string) => string;
  /** Normalised text to ids. */
  readonly encode: (text: string) => readonly number[];
  /** What the post-processor puts before and after a text. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

/** The ids around a text, found by sending a marker through the post-processor. */
const wrapping = (
  tokenizer: LibraryTokenizer,
  { addedTokens }: TokenizerDefinition,
): Pick<Pipeline, 'prefix' | 'suffix'> => {
  const { post_processor: process } = tokenizer;
  if (process === null) return { prefix: [], suffix: [] };
  const marker = '\u0000text\u0000';
  const { tokens } = process([marker], null, true);
  const added = new Map(addedTokens.map((token) => [token.content, token.id]));
  const idsOf = (contents: readonly string[]): number[] =>
    contents.flatMap((content) => added.get(content) ?? tokenizer.token_to_id(content) ?? []);
  const at = tokens.indexOf(marker);
  return { prefix: idsOf(tokens.slice(0, at)), suffix: idsOf(tokens.slice(at + 1)) };
};

/** @throws CortexError `model_load_failed` where the library refuses the definition. */
export const createPipeline = (definition: TokenizerDefinition): Pipeline => {
  const { json } = definition;
  const plain = {
    ...json,
    added_tokens: [],
    normalizer: json.normalizer ?? null,
    pre_tokenizer: json.pre_tokenizer ?? null,
    post_processor: json.post_processor ?? null,
  };
  try {
    const tokenizer = new LibraryTokenizer(plain, {});
    const { normalizer } = tokenizer;
    // Taken out: text is normalised once, before added tokens are looked for in its final form.
    tokenizer.normalizer = null;
    const encode = (text: string): readonly number[] => tokenizer.encode(text, { add_special_tokens: false }).ids;
    encode('probe');
    return {
      normalize: normalizer === null ? (text) => text : (text) => normalizer.normalize(text),
      encode,
      ...wrapping(tokenizer, definition),
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CortexError('model_load_failed', `tokenizer.json: ${message}`, {
      facts: { file: 'tokenizer.json' },
      cause: error,
    });
  }
};
