/** For tests and benchmarks: a language model's sizes and tokenizer under llama.cpp's keys. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { list, scalar, type GgufMetadata } from './gguf-file.ts';
import type { TextSizes } from './text-config.ts';

const hybridKeys = (arch: string, hybrid: NonNullable<TextSizes['hybrid']>, nPredictors: number): GgufMetadata => {
  const interval = hybrid.isFull.indexOf(true) + 1;
  const isRegular = hybrid.isFull.every((isFull, i) => isFull === ((i + 1) % interval === 0));
  const recurrent = [...hybrid.isFull.map((isFull) => !isFull), ...Array<boolean>(nPredictors).fill(false)];
  return {
    [`${arch}.ssm.conv_kernel`]: scalar('u32', hybrid.kernel),
    [`${arch}.ssm.state_size`]: scalar('u32', hybrid.headDim),
    [`${arch}.ssm.group_count`]: scalar('u32', hybrid.nKeyHeads),
    [`${arch}.ssm.time_step_rank`]: scalar('u32', hybrid.nValueHeads),
    [`${arch}.ssm.inner_size`]: scalar('u32', hybrid.nValueHeads * hybrid.headDim),
    [`${arch}.rope.dimension_count`]: scalar('u32', hybrid.nRotated),
    [`${arch}.rope.dimension_sections`]: list('i32', [...hybrid.sections, 0]),
    ...(isRegular
      ? { [`${arch}.full_attention_interval`]: scalar('u32', interval) }
      : { [`${arch}.attention.recurrent_layers`]: list('bool', recurrent) }),
    ...(nPredictors > 0 ? { [`${arch}.nextn_predict_layers`]: scalar('u32', nPredictors) } : {}),
  };
};

const yarnKeys = (arch: string, yarn: TextSizes['yarn']): GgufMetadata => {
  if (yarn === null) return {};
  const number = (key: string, from: string): GgufMetadata =>
    yarn[from] === undefined ? {} : { [`${arch}.rope.scaling.${key}`]: scalar('f32', Number(yarn[from])) };
  const original = scalar('u32', Number(yarn['original_max_position_embeddings']));
  return {
    [`${arch}.rope.scaling.type`]: scalar('string', 'yarn'),
    [`${arch}.rope.scaling.original_context_length`]: original,
    ...number('factor', 'factor'),
    ...number('yarn_attn_factor', 'attention_factor'),
    ...number('yarn_beta_fast', 'beta_fast'),
    ...number('yarn_beta_slow', 'beta_slow'),
  };
};

/** @param nPredictors Blocks beyond the layers, which `block_count` counts too. */
export const sizeKeys = (sizes: TextSizes, nPredictors: number): GgufMetadata => {
  const { arch, experts, hybrid } = sizes;
  return {
    'general.architecture': scalar('string', arch),
    'general.type': scalar('string', 'model'),
    'general.name': scalar('string', 'test model'),
    'general.quantization_version': scalar('u32', 2),
    [`${arch}.block_count`]: scalar('u32', sizes.nLayers + nPredictors),
    [`${arch}.context_length`]: scalar('u32', sizes.contextMax),
    [`${arch}.embedding_length`]: scalar('u32', sizes.hidden),
    [`${arch}.feed_forward_length`]: scalar('u32', sizes.ff),
    [`${arch}.attention.head_count`]: scalar('u32', sizes.nHeads),
    [`${arch}.attention.head_count_kv`]: scalar('u32', sizes.nHeadsKv),
    [`${arch}.attention.key_length`]: scalar('u32', sizes.headDim),
    [`${arch}.attention.value_length`]: scalar('u32', sizes.headDim),
    [`${arch}.attention.layer_norm_rms_epsilon`]: scalar('f32', sizes.normEps),
    [`${arch}.rope.freq_base`]: scalar('f32', sizes.ropeTheta),
    ...yarnKeys(arch, sizes.yarn),
    ...(experts === null
      ? {}
      : {
          [`${arch}.expert_count`]: scalar('u32', experts.n),
          [`${arch}.expert_used_count`]: scalar('u32', experts.nUsed),
          [`${arch}.expert_feed_forward_length`]: scalar('u32', experts.width),
          ...(experts.sharedWidth === 0
            ? {}
            : { [`${arch}.expert_shared_feed_forward_length`]: scalar('u32', experts.sharedWidth) }),
        }),
    ...(hybrid === null ? {} : hybridKeys(arch, hybrid, nPredictors)),
  };
};

interface TokenizerJson {
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (string | readonly [string, string])[];
  };
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[];
}

/** llama.cpp's kinds of tokens. */
const tokenKinds = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

const readJson = (path: string): unknown => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {});

/** The vocabulary is padded to the rows of the embedding, as llama.cpp wants it. */
const vocabularyKeys = ({ model, added_tokens: added }: TokenizerJson, nVocab: number): GgufMetadata => {
  const tokens = Array.from({ length: nVocab }, (_, id) => `[PAD${id}]`);
  const kinds: number[] = Array.from({ length: nVocab }, () => tokenKinds.unused);
  for (const [token, id] of Object.entries(model.vocab)) {
    tokens[id] = token;
    kinds[id] = tokenKinds.normal;
  }
  for (const { id, content, special } of added) {
    tokens[id] = content;
    kinds[id] = special ? tokenKinds.control : tokenKinds.userDefined;
  }
  const merges = model.merges.map((pair) => (typeof pair === 'string' ? pair : pair.join(' ')));
  return {
    'tokenizer.ggml.tokens': list('string', tokens),
    'tokenizer.ggml.token_type': list('i32', kinds),
    'tokenizer.ggml.merges': list('string', merges),
  };
};

/** From the folder's tokenizer.json, tokenizer_config.json and chat_template.jinja. */
export const tokenizerKeys = (dir: string, { arch, nVocab }: TextSizes): GgufMetadata => {
  const tokenizer = readJson(join(dir, 'tokenizer.json')) as TokenizerJson;
  const named = readJson(join(dir, 'tokenizer_config.json')) as Readonly<Record<string, unknown>>;
  const idKey = (key: string, name: unknown): GgufMetadata => {
    const id = tokenizer.added_tokens.find(({ content }) => content === name)?.id;
    return id === undefined ? {} : { [`tokenizer.ggml.${key}`]: scalar('u32', id) };
  };
  const template = join(dir, 'chat_template.jinja');
  return {
    'tokenizer.ggml.model': scalar('string', 'gpt2'),
    'tokenizer.ggml.pre': scalar('string', arch.startsWith('qwen35') ? 'qwen35' : 'qwen2'),
    ...vocabularyKeys(tokenizer, nVocab),
    ...idKey('eos_token_id', named['eos_token']),
    ...idKey('padding_token_id', named['pad_token']),
    ...idKey('bos_token_id', named['pad_token']),
    'tokenizer.ggml.add_bos_token': scalar('bool', false),
    ...(existsSync(template) ? { 'tokenizer.chat_template': scalar('string', readFileSync(template, 'utf8')) } : {}),
  };
};
