/** For tests and benchmarks: the sizes of a language model, from a config.json that is known to be good. */

export type GgufArch = 'qwen3' | 'qwen3moe' | 'qwen35' | 'qwen35moe';

export interface TextSizes {
  readonly arch: GgufArch;
  readonly hidden: number;
  readonly nLayers: number;
  readonly ff: number;
  readonly nHeads: number;
  readonly nHeadsKv: number;
  readonly headDim: number;
  readonly nVocab: number;
  readonly contextMax: number;
  readonly normEps: number;
  readonly ropeTheta: number;
  /** With a `rope_type` of "yarn"; null without scaling. */
  readonly yarn: Json | null;
  readonly experts: {
    readonly n: number;
    readonly nUsed: number;
    readonly width: number;
    readonly sharedWidth: number;
  } | null;
  readonly hybrid: {
    /** Of every layer. */
    readonly isFull: readonly boolean[];
    readonly nKeyHeads: number;
    readonly nValueHeads: number;
    readonly headDim: number;
    readonly kernel: number;
    readonly nRotated: number;
    readonly sections: readonly number[];
  } | null;
}

const archs: Readonly<Record<string, GgufArch>> = {
  qwen3: 'qwen3',
  qwen3_moe: 'qwen3moe',
  qwen3_5: 'qwen35',
  qwen3_5_text: 'qwen35',
  qwen3_5_moe: 'qwen35moe',
  qwen3_5_moe_text: 'qwen35moe',
};

type Json = Readonly<Record<string, unknown>>;

const hybridOf = (text: Json, rope: Json): NonNullable<TextSizes['hybrid']> => {
  const headDim = Number(text['head_dim']);
  const factor = Number(rope['partial_rotary_factor'] ?? text['partial_rotary_factor'] ?? 0.25);
  return {
    isFull: (text['layer_types'] as readonly string[]).map((kind) => kind === 'full_attention'),
    nKeyHeads: Number(text['linear_num_key_heads']),
    nValueHeads: Number(text['linear_num_value_heads']),
    headDim: Number(text['linear_value_head_dim']),
    kernel: Number(text['linear_conv_kernel_dim']),
    nRotated: Math.trunc(headDim * factor),
    sections: rope['mrope_section'] as readonly number[],
  };
};

/** @throws Error for a model that this writer does not know. */
export const textSizes = (config: Json): TextSizes => {
  const text = (config['text_config'] ?? config) as Json;
  const arch = archs[String(text['model_type'])];
  if (arch === undefined) throw new Error(`no GGUF architecture for ${String(text['model_type'])}`);
  const rope = (text['rope_parameters'] ?? text['rope_scaling'] ?? {}) as Json;
  const nExperts = text['num_experts'] ?? text['num_local_experts'];
  return {
    arch,
    hidden: Number(text['hidden_size']),
    nLayers: Number(text['num_hidden_layers']),
    ff: Number(text['intermediate_size'] ?? text['moe_intermediate_size']),
    nHeads: Number(text['num_attention_heads']),
    nHeadsKv: Number(text['num_key_value_heads']),
    headDim: Number(text['head_dim']),
    nVocab: Number(text['vocab_size']),
    contextMax: Number(text['max_position_embeddings']),
    normEps: Number(text['rms_norm_eps']),
    ropeTheta: Number(rope['rope_theta'] ?? text['rope_theta']),
    yarn: rope['rope_type'] === 'yarn' ? rope : null,
    experts:
      nExperts === undefined
        ? null
        : {
            n: Number(nExperts),
            nUsed: Number(text['num_experts_per_tok']),
            width: Number(text['moe_intermediate_size']),
            sharedWidth: Number(text['shared_expert_intermediate_size'] ?? 0),
          },
    hybrid: arch.startsWith('qwen35') ? hybridOf(text, rope) : null,
  };
};
