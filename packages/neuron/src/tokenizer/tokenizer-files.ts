/**
 * `tokenizer.json` and `tokenizer_config.json` as typed data, checked once. Only byte-level BPE is taken: it is what
 * the supported models use, and what gives every token an exact string of bytes.
 */
import { CortexError } from '@cortex/core';
import { z } from 'zod';
import { readModelJson } from '../model-files/model-json.ts';

/** Ids index tables, so they are bounded well above any real vocabulary. */
const idMax = 2 ** 22 - 1;
const tokenId = z.int().min(0).max(idMax);

const addedTokenSchema = z.looseObject({
  id: tokenId,
  content: z.string().min(1),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().optional(),
  special: z.boolean().default(false),
});

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isId = (value: unknown): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= idMax;

const isPair = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 2 && typeof value[0] === 'string' && typeof value[1] === 'string';

// Hundreds of thousands of entries: checked in place, where a schema would take seconds and a second copy.
const vocabSchema = z.custom<Readonly<Record<string, number>>>(
  (value) => isObject(value) && Object.values(value).every(isId),
  { error: `must map tokens to ids from 0 to ${idMax}` },
);
const mergesSchema = z.custom<readonly string[] | readonly (readonly [string, string])[]>(
  (value) => Array.isArray(value) && (value.every((merge) => typeof merge === 'string') || value.every(isPair)),
  { error: 'must list pairs of tokens' },
);

const typedPart = z.looseObject({ type: z.string() });

const tokenizerSchema = z.looseObject({
  added_tokens: z.array(addedTokenSchema).nullish(),
  normalizer: typedPart.nullish(),
  pre_tokenizer: typedPart.nullish(),
  post_processor: typedPart.nullish(),
  decoder: typedPart.nullish(),
  model: z.looseObject({
    type: z.literal('BPE', { error: 'only BPE tokenizers are supported' }).default('BPE'),
    vocab: vocabSchema,
    merges: mergesSchema,
  }),
});
export type TokenizerJson = z.infer<typeof tokenizerSchema>;

/** A token with a name of its own, found in text before any splitting. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly singleWord: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Looked for in the text after normalisation, not before. */
  readonly normalized: boolean;
  /** A control token: never part of what the model says, never to be made from what a user says. */
  readonly special: boolean;
}

export interface TokenizerDefinition {
  readonly json: TokenizerJson;
  readonly addedTokens: readonly AddedToken[];
}

/** A token named in `tokenizer_config.json`: its text, in either of the two forms in use. */
const namedToken = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform((token) => token.content)])
  .nullish();

const namedTemplate = z.looseObject({ name: z.string(), template: z.string() });

const tokenizerConfigSchema = z.looseObject({
  bos_token: namedToken,
  eos_token: namedToken,
  unk_token: namedToken,
  pad_token: namedToken,
  chat_template: z.union([z.string(), z.array(namedTemplate)]).nullish(),
});
export type TokenizerConfig = z.infer<typeof tokenizerConfigSchema>;

const isByteLevel = (decoder: unknown): boolean => {
  const parsed = z
    .union([
      z.looseObject({ type: z.literal('ByteLevel') }),
      z.looseObject({ type: z.literal('Sequence'), decoders: z.array(typedPart).min(1) }),
    ])
    .safeParse(decoder);
  if (!parsed.success) return false;
  return parsed.data.type === 'ByteLevel' || parsed.data.decoders.every((part) => part.type === 'ByteLevel');
};

const refuse = (message: string): never => {
  throw new CortexError('model_load_failed', `tokenizer.json: ${message}`, { facts: { file: 'tokenizer.json' } });
};

const checkIds = (json: TokenizerJson, addedTokens: readonly AddedToken[]): void => {
  const owners = new Map<number, string>();
  const claim = (content: string, id: number): void => {
    const owner = owners.get(id);
    if (owner !== undefined && owner !== content) refuse(`id ${id} belongs to two tokens`);
    owners.set(id, content);
  };
  for (const [content, id] of Object.entries(json.model.vocab)) claim(content, id);
  for (const { content, id } of addedTokens) claim(content, id);
  if (owners.size === 0) refuse('the vocabulary is empty');
};

/** @throws CortexError `model_load_failed`: missing, not JSON, wrong types, not byte-level BPE, clashing ids. */
export const readTokenizerDefinition = async (dir: string): Promise<TokenizerDefinition> => {
  const json =
    (await readModelJson(tokenizerSchema, dir, 'tokenizer.json')) ?? refuse('is missing from the model folder');
  if (!isByteLevel(json.decoder)) refuse('only byte-level BPE tokenizers are supported');
  const addedTokens = (json.added_tokens ?? []).map((token) => ({
    id: token.id,
    content: token.content,
    singleWord: token.single_word,
    lstrip: token.lstrip,
    rstrip: token.rstrip,
    normalized: token.normalized ?? !token.special,
    special: token.special,
  }));
  checkIds(json, addedTokens);
  return { json, addedTokens };
};

/** An absent file is an empty configuration. @throws CortexError `model_load_failed`. */
export const readTokenizerConfig = async (dir: string): Promise<TokenizerConfig> =>
  (await readModelJson(tokenizerConfigSchema, dir, 'tokenizer_config.json')) ?? {};
