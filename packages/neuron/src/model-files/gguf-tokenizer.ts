/** A GGUF file's vocabulary in the form of `tokenizer.json`, as the checkpoint that it was made from had it. */
import { CortexError } from '@cortex/core';
import { preTokenizers } from '../arch/pre-tokenizers.ts';
import type { GgufMetadata } from './gguf-metadata.ts';

const keys = {
  model: 'tokenizer.ggml.model',
  pre: 'tokenizer.ggml.pre',
  tokens: 'tokenizer.ggml.tokens',
  kinds: 'tokenizer.ggml.token_type',
  merges: 'tokenizer.ggml.merges',
} as const;

/** The format's kinds of tokens; those that stand for nothing pad the vocabulary to the embedding's rows. */
const kindOf = { control: 3, userDefined: 4, unused: 5 } as const;

const patternOf = (metadata: GgufMetadata): string => {
  const model = metadata.needText(keys.model);
  const pre = metadata.text(keys.pre) ?? 'default';
  const pattern = preTokenizers.get(pre);
  if (model === 'gpt2' && pattern !== undefined) return pattern;
  const known = [...preTokenizers.keys()].join(', ');
  const message = `${metadata.file}: its tokenizer is ${model}/${pre}; gpt2 with ${known} is read`;
  throw new CortexError('model_load_failed', message);
};

/** Without looking at the lists. @throws CortexError `model_load_failed` for a kind of tokenizer that is not built here. */
export const vetGgufTokenizer = (metadata: GgufMetadata): void => {
  patternOf(metadata);
  if (metadata.flag('tokenizer.ggml.add_bos_token') !== true) return;
  throw new CortexError('model_load_failed', `${metadata.file}: tokenizer.ggml.add_bos_token is not supported`);
};

const mergeOf = (merge: string): readonly [string, string] => {
  // A token has no space in it: byte-level vocabularies spell it otherwise.
  const space = merge.indexOf(' ', 1);
  return [merge.slice(0, space), merge.slice(space + 1)];
};

const isNamed = (kind: number | undefined): boolean => kind === kindOf.control || kind === kindOf.userDefined;

/** @throws CortexError `model_load_failed` for another kind of tokenizer, or lists that do not fit together. */
export const tokenizerOfGguf = (metadata: GgufMetadata): unknown => {
  vetGgufTokenizer(metadata);
  const pattern = patternOf(metadata);
  const tokens = metadata.texts(keys.tokens) ?? [];
  const kinds = metadata.numbers(keys.kinds) ?? [];
  if (kinds.length !== tokens.length) {
    const message = `${metadata.file}: ${tokens.length} tokens and ${kinds.length} token types`;
    throw new CortexError('model_load_failed', message);
  }
  const ids = tokens
    .map((content, id) => ({ content, id, kind: kinds[id] }))
    .filter(({ kind }) => kind !== kindOf.unused);
  return {
    version: '1.0',
    added_tokens: ids
      .filter(({ kind }) => isNamed(kind))
      .map(({ content, id, kind }) => ({ id, content, normalized: false, special: kind === kindOf.control })),
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(ids.filter(({ kind }) => !isNamed(kind)).map(({ content, id }) => [content, id])),
      merges: (metadata.texts(keys.merges) ?? []).map(mergeOf),
    },
  };
};
