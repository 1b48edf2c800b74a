/** config.json of Qwen3 language models (Hugging Face `Qwen3Config`), and the parts its mixture sibling shares. */
import type { RopeScaling } from '../rope-scaling.ts';
import { ropeScalingOf } from '../rope-scaling.ts';
import { z } from 'zod';
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
import type { GgufModel } from '../../model-files/gguf-file.ts';
import type { TensorNames } from '../../model/weight-spec.ts';
import { archKeys, decoderFields, ropeScalingFields } from '../gguf-fields.ts';

const qwen3Fields = {
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: count.max(1024),
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  rms_norm_eps: epsilon.default(1e-6),
  vocab_size: count,
  max_position_embeddings: count,
  tie_word_embeddings: z.boolean().nullish(),
  attention_bias: z.boolean().nullish(),
  hidden_act: z.string().nullish(),
  use_sliding_window: z.boolean().nullish(),
  ...ropeFields,
} as const;

const schema = z.looseObject(qwen3Fields);

export interface Qwen3Attention {
  readonly headDim: number;
  readonly nHeads: number;
  readonly nHeadsKv: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
}

export interface Qwen3Base extends Qwen3Attention {
  readonly hiddenSize: number;
  readonly ffSize: number;
  readonly nLayers: number;
  readonly normEps: number;
  readonly nVocab: number;
  readonly contextMax: number;
  readonly tied: boolean;
  readonly prefix: string;
}

const defaultHeadDim = 128;
const defaultTheta = 10_000;

/** The fields both Qwen3 architectures have. @throws CortexError `model_load_failed`. */
export const qwen3Base = (config: unknown, names: TensorNames): Qwen3Base => {
  const raw = parseConfigFields(schema, config);
  refuseUnless(raw.attention_bias !== true, 'attention_bias is true: attention with biases is not built here');
  refuseUnless((raw.hidden_act ?? 'silu') === 'silu', `hidden_act is "${raw.hidden_act}": only silu is built here`);
  refuseUnless(raw.use_sliding_window !== true, 'use_sliding_window is true: windows are not built here');
  const nHeads = raw.num_attention_heads;
  const nHeadsKv = raw.num_key_value_heads ?? nHeads;
  if (nHeads % nHeadsKv !== 0) throw badConfig(`${nHeads} attention heads are no multiple of ${nHeadsKv} key heads`);
  const headDim = raw.head_dim ?? defaultHeadDim;
  if (headDim % 2 !== 0) throw badConfig(`head_dim is ${headDim}: rotary positions need an even one`);
  return {
    headDim,
    nHeads,
    nHeadsKv,
    ropeTheta: raw.rope_parameters?.rope_theta ?? raw.rope_theta ?? defaultTheta,
    ropeScaling: ropeScalingOf(raw),
    hiddenSize: raw.hidden_size,
    ffSize: raw.intermediate_size,
    nLayers: raw.num_hidden_layers,
    normEps: raw.rms_norm_eps,
    nVocab: raw.vocab_size,
    contextMax: raw.max_position_embeddings,
    tied: isTied(raw.tie_word_embeddings, names),
    prefix: textPrefix(names),
  };
};

/** The same fields out of a GGUF file's keys. */
export const qwen3ConfigOfGguf = (model: GgufModel): Readonly<Record<string, unknown>> => ({
  ...decoderFields(model),
  rope_theta: archKeys(model).number('rope.freq_base'),
  rope_scaling: ropeScalingFields(model),
});
