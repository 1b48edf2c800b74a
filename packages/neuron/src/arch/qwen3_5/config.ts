/** config.json of Qwen3.5 and 3.6 (Hugging Face `Qwen3_5TextConfig`), bare or nested in the multimodal one. */
import { z } from 'zod';
import type { TensorNames } from '../../model/weight-spec.ts';
import {
  badConfig,
  count,
  epsilon,
  isTied,
  parseConfigFields,
  refuseUnless,
  ropeFields,
  size,
  textPrefix,
} from '../config-fields.ts';

const schema = z.looseObject({
  hidden_size: size,
  num_hidden_layers: count.max(1024),
  num_attention_heads: size,
  num_key_value_heads: size,
  head_dim: size.default(256),
  rms_norm_eps: epsilon.default(1e-6),
  vocab_size: count,
  max_position_embeddings: count,
  tie_word_embeddings: z.boolean().nullish(),
  attention_bias: z.boolean().nullish(),
  hidden_act: z.string().nullish(),
  layer_types: z.array(z.enum(['linear_attention', 'full_attention'])).nullish(),
  full_attention_interval: z.int().min(1).default(4),
  linear_conv_kernel_dim: z.int().min(2).max(16).default(4),
  linear_num_key_heads: size.default(16),
  linear_num_value_heads: size.default(32),
  linear_key_head_dim: size.default(128),
  linear_value_head_dim: size.default(128),
  partial_rotary_factor: z.number().gt(0).max(1).nullish(),
  mtp_use_dedicated_embeddings: z.boolean().nullish(),
  ...ropeFields,
});

const outerSchema = z.looseObject({
  text_config: z.looseObject({}).nullish(),
  tie_word_embeddings: z.boolean().nullish(),
});

export interface Qwen35Base {
  readonly hiddenSize: number;
  readonly nLayers: number;
  readonly headDim: number;
  readonly nHeads: number;
  readonly nHeadsKv: number;
  readonly normEps: number;
  readonly nVocab: number;
  readonly contextMax: number;
  readonly tied: boolean;
  readonly prefix: string;
  readonly layerTypes: readonly ('linear_attention' | 'full_attention')[];
  /** The predictor, if there is one, takes its tokens from an embedding of its own. */
  readonly predictorEmbeds: boolean;
  readonly rope: {
    readonly theta: number;
    /** Rotated leading dimensions of a head. */
    readonly nDims: number;
    /** Pairs that the axes t, h, w drive. */
    readonly sections: readonly [number, number, number, number];
  };
  readonly delta: {
    readonly nKeyHeads: number;
    readonly nValueHeads: number;
    readonly headDim: number;
    readonly kernel: number;
    readonly normEps: number;
  };
}

/** Where a layer's weights are in a checkpoint of safetensors, and what they are called here. */
export interface LayerNames {
  readonly from: string;
  readonly to: string;
}

/** The language model's part of the config. */
export const textConfigOf = (config: unknown): unknown => parseConfigFields(outerSchema, config).text_config ?? config;

const defaultTheta = 10_000;
const defaultSections = [11, 11, 10];

type Raw = z.infer<typeof schema>;

const ropeOf = (raw: Raw): Qwen35Base['rope'] => {
  const rope = raw.rope_parameters ?? raw.rope_scaling;
  const kind = rope?.rope_type ?? 'default';
  refuseUnless(kind === 'default' || kind === 'mrope', `rope of type "${kind}" is not built for this architecture`);
  const inner = rope?.['partial_rotary_factor'];
  const factor = typeof inner === 'number' ? inner : (raw.partial_rotary_factor ?? 0.25);
  const nDims = Math.trunc(raw.head_dim * factor);
  const given = rope?.['mrope_section'] ?? defaultSections;
  const sections = z.array(z.int().min(0)).length(3).safeParse(given);
  if (!sections.success) throw badConfig('mrope_section is not three counts');
  const [t = 0, h = 0, w = 0] = sections.data;
  if (nDims % 2 !== 0 || nDims < 2 || (t + h + w) * 2 !== nDims) {
    throw badConfig(`mrope_section ${t}, ${h}, ${w} does not make up half of ${nDims} rotated dimensions`);
  }
  const theta = raw.rope_parameters?.rope_theta ?? raw.rope_theta ?? defaultTheta;
  return { theta, nDims, sections: [t, h, w, 0] };
};

const layerTypesOf = (raw: Raw): Qwen35Base['layerTypes'] => {
  const n = raw.num_hidden_layers;
  const types =
    raw.layer_types ??
    Array.from({ length: n }, (_, i) =>
      (i + 1) % raw.full_attention_interval === 0 ? 'full_attention' : 'linear_attention',
    );
  if (types.length !== n) throw badConfig(`layer_types names ${types.length} layers of ${n}`);
  return types;
};

/** The fields both Qwen3.5 architectures have. @throws CortexError `model_load_failed`. */
export const qwen35Base = (config: unknown, names: TensorNames): Qwen35Base => {
  const raw = parseConfigFields(schema, textConfigOf(config));
  const outer = parseConfigFields(outerSchema, config);
  refuseUnless(raw.attention_bias !== true, 'attention_bias is true: attention with biases is not built here');
  refuseUnless((raw.hidden_act ?? 'silu') === 'silu', `hidden_act is "${raw.hidden_act}": only silu is built here`);
  const { num_attention_heads: nHeads, num_key_value_heads: nHeadsKv } = raw;
  if (nHeads % nHeadsKv !== 0) throw badConfig(`${nHeads} attention heads are no multiple of ${nHeadsKv} key heads`);
  const nKeyHeads = raw.linear_num_key_heads;
  const nValueHeads = raw.linear_num_value_heads;
  if (nValueHeads % nKeyHeads !== 0) throw badConfig(`${nValueHeads} value heads are no multiple of ${nKeyHeads}`);
  if (raw.linear_key_head_dim !== raw.linear_value_head_dim) {
    throw badConfig('linear_key_head_dim and linear_value_head_dim differ: that is not built here');
  }
  return {
    hiddenSize: raw.hidden_size,
    nLayers: raw.num_hidden_layers,
    headDim: raw.head_dim,
    nHeads,
    nHeadsKv,
    normEps: raw.rms_norm_eps,
    nVocab: raw.vocab_size,
    contextMax: raw.max_position_embeddings,
    tied: isTied(outer.tie_word_embeddings ?? raw.tie_word_embeddings, names),
    prefix: textPrefix(names),
    layerTypes: layerTypesOf(raw),
    predictorEmbeds: raw.mtp_use_dedicated_embeddings === true,
    rope: ropeOf(raw),
    delta: {
      nKeyHeads,
      nValueHeads,
      headDim: raw.linear_key_head_dim,
      kernel: raw.linear_conv_kernel_dim,
      normEps: raw.rms_norm_eps,
    },
  };
};
