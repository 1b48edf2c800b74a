/** Keys that the architectures' GGUF files share, in the terms of `config.json`. */
import type { GgufModel } from '../model-files/gguf-file.ts';

/** Keys of one architecture: `<architecture>.<name>`. */
export interface ArchKeys {
  number(name: string): number | null;
  /** Where files may have a number for each layer: the largest. */
  largest(name: string): number | null;
  numbers(name: string): readonly number[] | null;
  text(name: string): string | null;
}

export const archKeys = ({ metadata }: GgufModel): ArchKeys => {
  const key = (name: string): string => `${metadata.text('general.architecture') ?? ''}.${name}`;
  return {
    number: (name) => metadata.number(key(name)),
    numbers: (name) => metadata.numbers(key(name)),
    text: (name) => metadata.text(key(name)),
    largest: (name) => {
      const all = metadata.numbers(key(name));
      return all === null ? null : all.reduce((most, n) => Math.max(most, n), 0);
    },
  };
};

const dividedBy = (a: number | null, b: number | null): number | null => (a === null || b === null ? null : a / b);

/** What the files count as blocks beyond the layers predicts further tokens. */
const layerCount = (keys: ArchKeys): number | null => {
  const nBlocks = keys.number('block_count');
  return nBlocks === null ? null : nBlocks - (keys.number('nextn_predict_layers') ?? 0);
};

/** Fields of every decoder; null where a file does not say, for the config's own rules to judge. */
export const decoderFields = (model: GgufModel) => {
  const keys = archKeys(model);
  return {
    hidden_size: keys.number('embedding_length'),
    intermediate_size: keys.largest('feed_forward_length'),
    num_hidden_layers: layerCount(keys),
    num_attention_heads: keys.largest('attention.head_count'),
    num_key_value_heads: keys.largest('attention.head_count_kv'),
    head_dim:
      keys.number('attention.key_length') ??
      dividedBy(keys.number('embedding_length'), keys.largest('attention.head_count')),
    rms_norm_eps: keys.number('attention.layer_norm_rms_epsilon') ?? undefined,
    vocab_size: keys.number('vocab_size') ?? model.metadata.nTexts('tokenizer.ggml.tokens'),
    max_position_embeddings: keys.number('context_length'),
    num_experts: keys.number('expert_count'),
    num_experts_per_tok: keys.number('expert_used_count'),
    moe_intermediate_size: keys.number('expert_feed_forward_length'),
  };
};

/** What YaRN multiplies attention by where nothing else is said. */
const yarnAttention = (factor: number): number => 1 + 0.1 * Math.log(factor);

/** Files may give YaRN's own number, as config.json has it, and one that multiplies it; null without either. */
const attentionFactor = (keys: ArchKeys): number | null => {
  const own = keys.number('rope.scaling.yarn_attn_factor');
  const further = keys.number('rope.scaling.attn_factor');
  if (further === null) return own;
  return further * (own ?? yarnAttention(keys.number('rope.scaling.factor') ?? 1));
};

/** `rope_scaling` of files whose context is longer than the training's; null without. */
export const ropeScalingFields = (model: GgufModel): Readonly<Record<string, unknown>> | null => {
  const keys = archKeys(model);
  const kind = keys.text('rope.scaling.type') ?? 'none';
  if (kind === 'none') return null;
  return {
    rope_type: kind,
    factor: keys.number('rope.scaling.factor'),
    original_max_position_embeddings: keys.number('rope.scaling.original_context_length'),
    attention_factor: attentionFactor(keys),
    beta_fast: keys.number('rope.scaling.yarn_beta_fast'),
    beta_slow: keys.number('rope.scaling.yarn_beta_slow'),
  };
};
