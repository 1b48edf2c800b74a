/**
 * For tests and benchmarks: models with random weights, named and shaped as transformers saves them. The small ones
 * have odd sizes on purpose: three query heads to a key head, three value heads to a key head, a 24 × 24 position
 * table, widths that are no multiple of 128.
 */

/** How the values of a tensor are drawn. */
type Fill =
  | { readonly kind: 'normal'; readonly mean: number; readonly std: number }
  | { readonly kind: 'uniform'; readonly min: number; readonly max: number }
  /** The logarithm of a uniform value. */
  | { readonly kind: 'log_uniform'; readonly min: number; readonly max: number }
  /** Those of another tensor of this shape, each row in the place of the one behind it. */
  | {
      readonly kind: 'row_later';
      readonly of: string;
      readonly fill: Exclude<Fill, { kind: 'row_later' | 'diagonal' }>;
    }
  /** Of a matrix: ones where row and column have one number, zeros elsewhere. */
  | { readonly kind: 'diagonal' };

export interface TensorSpec {
  readonly name: string;
  /** Row-major, the slowest axis first. */
  readonly shape: readonly number[];
  readonly fill: Fill;
  /** Stays F32 in a checkpoint of another type, as `mamba_ssm_dtype` asks. */
  readonly isF32Always?: true;
}

export interface GeneratedModel {
  /** `config.json` without its `dtype`. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly tensors: readonly TensorSpec[];
  readonly hasVision: boolean;
}

export interface VisionOption {
  /** With a tower, in the multimodal wrapper; without, as the text model alone. */
  readonly vision: boolean;
}

export interface PredictorOption {
  /** With the layer that predicts further tokens (`mtp.*`). */
  readonly predictor?: boolean;
}

export interface ExpertsOption {
  /** One tensor for all experts of a layer, as published, or one for each, as transformers 5 saves. */
  readonly experts?: 'fused' | 'separate';
}

export interface HeadsOption {
  /** Key and value heads, and key heads of linear attention, which have three value heads each. 2 by default. */
  readonly heads?: number;
  /** Query heads of each key head; 3 by default. */
  readonly queries?: number;
  /** Width of the feed-forward part, or of an expert's; one that is no multiple of much by default. */
  readonly ff?: number;
}

const vocabSize = 640;
const normEps = 1e-6;

const normal = (std: number, mean = 0): Fill => ({ kind: 'normal', mean, std });
/** `weight` times the normalised value. */
const plainNorm = normal(0.1, 1);
/** `1 + weight` times the normalised value. */
const offsetNorm = normal(0.1);

const tensor = (name: string, shape: readonly number[], fill: Fill): TensorSpec => ({ name, shape, fill });

/** A linear layer's weight, [out, in]. */
const linear = (name: string, nOut: number, nIn: number, std = 0.05): TensorSpec =>
  tensor(`${name}.weight`, [nOut, nIn], normal(std));

const mlp = (prefix: string, hidden: number, width: number, std?: number): readonly TensorSpec[] => [
  linear(`${prefix}.gate_proj`, width, hidden, std),
  linear(`${prefix}.up_proj`, width, hidden, std),
  linear(`${prefix}.down_proj`, hidden, width, std),
];

interface AttentionSizes {
  readonly hidden: number;
  readonly nHeads: number;
  readonly nHeadsKv: number;
  readonly headDim: number;
}

interface AttentionForm extends AttentionSizes {
  readonly norm: Fill;
  /** The query projection also gives a gate of its own size. */
  readonly isGated: boolean;
  readonly std?: number;
}

const attention = (prefix: string, form: AttentionForm): readonly TensorSpec[] => {
  const { hidden, nHeads, nHeadsKv, headDim, norm, isGated, std } = form;
  return [
    linear(`${prefix}.q_proj`, nHeads * headDim * (isGated ? 2 : 1), hidden, std),
    linear(`${prefix}.k_proj`, nHeadsKv * headDim, hidden, std),
    linear(`${prefix}.v_proj`, nHeadsKv * headDim, hidden, std),
    linear(`${prefix}.o_proj`, hidden, nHeads * headDim, std),
    tensor(`${prefix}.q_norm.weight`, [headDim], norm),
    tensor(`${prefix}.k_norm.weight`, [headDim], norm),
  ];
};

interface ExpertSizes {
  readonly nExperts: number;
  readonly nUsed: number;
  readonly width: number;
}

const router = (prefix: string, hidden: number, nExperts: number): TensorSpec =>
  linear(`${prefix}.gate`, nExperts, hidden, 0.2);

const separateExperts = (prefix: string, hidden: number, { nExperts, width }: ExpertSizes): readonly TensorSpec[] =>
  Array.from({ length: nExperts }, (_, e) => mlp(`${prefix}.experts.${e}`, hidden, width)).flat();

const fusedExperts = (prefix: string, hidden: number, { nExperts, width }: ExpertSizes): readonly TensorSpec[] => [
  tensor(`${prefix}.experts.gate_up_proj`, [nExperts, 2 * width, hidden], normal(0.05)),
  tensor(`${prefix}.experts.down_proj`, [nExperts, hidden, width], normal(0.05)),
];

const layers = (n: number, layer: (i: number) => readonly TensorSpec[]): readonly TensorSpec[] =>
  Array.from({ length: n }, (_, i) => layer(i)).flat();

// Qwen3

interface Qwen3Sizes extends AttentionSizes {
  readonly nLayers: number;
  readonly ff: number;
  readonly vocab: number;
  readonly contextMax: number;
}

const tinyQwen3Sizes = ({ heads = 2, queries = 3, ff = 224 }: HeadsOption): Qwen3Sizes => ({
  hidden: 160,
  nLayers: 3,
  ff,
  nHeads: queries * heads,
  nHeadsKv: heads,
  headDim: 64,
  vocab: vocabSize,
  contextMax: 4096,
});

const qwen3Config = (sizes: Qwen3Sizes) => ({
  attention_bias: false,
  attention_dropout: 0,
  head_dim: sizes.headDim,
  hidden_act: 'silu',
  hidden_size: sizes.hidden,
  initializer_range: 0.02,
  intermediate_size: sizes.ff,
  max_position_embeddings: sizes.contextMax,
  num_attention_heads: sizes.nHeads,
  num_hidden_layers: sizes.nLayers,
  num_key_value_heads: sizes.nHeadsKv,
  rms_norm_eps: normEps,
  use_cache: true,
  use_sliding_window: false,
  vocab_size: sizes.vocab,
});

type FeedForward = (prefix: string, hidden: number) => readonly TensorSpec[];

const qwen3Tensors = (sizes: Qwen3Sizes, feedForward: FeedForward, std?: number): readonly TensorSpec[] => [
  linear('model.embed_tokens', sizes.vocab, sizes.hidden, std),
  ...layers(sizes.nLayers, (i) => [
    tensor(`model.layers.${i}.input_layernorm.weight`, [sizes.hidden], plainNorm),
    ...attention(`model.layers.${i}.self_attn`, {
      ...sizes,
      norm: plainNorm,
      isGated: false,
      ...(std === undefined ? {} : { std }),
    }),
    tensor(`model.layers.${i}.post_attention_layernorm.weight`, [sizes.hidden], plainNorm),
    ...feedForward(`model.layers.${i}.mlp`, sizes.hidden),
  ]),
  tensor('model.norm.weight', [sizes.hidden], plainNorm),
];

/** Dense, tied, 3 layers of width 160. */
export const tinyQwen3 = (options: HeadsOption = {}): GeneratedModel => {
  const sizes = tinyQwen3Sizes(options);
  return {
    config: {
      architectures: ['Qwen3ForCausalLM'],
      model_type: 'qwen3',
      ...qwen3Config(sizes),
      rope_parameters: { rope_theta: 1_000_000, rope_type: 'default' },
      tie_word_embeddings: true,
    },
    tensors: qwen3Tensors(sizes, (prefix, hidden) => mlp(prefix, hidden, sizes.ff)),
    hasVision: false,
  };
};

/** 6 experts of which 2 are used, a tensor for each; untied; the rotary base where older configs have it. */
export const tinyQwen3Moe = (options: HeadsOption = {}): GeneratedModel => {
  const sizes = tinyQwen3Sizes(options);
  const experts: ExpertSizes = { nExperts: 6, nUsed: 2, width: options.ff ?? 96 };
  return {
    config: {
      architectures: ['Qwen3MoeForCausalLM'],
      model_type: 'qwen3_moe',
      ...qwen3Config(sizes),
      rope_theta: 1_000_000,
      rope_scaling: null,
      decoder_sparse_step: 1,
      mlp_only_layers: [],
      moe_intermediate_size: experts.width,
      norm_topk_prob: true,
      num_experts: experts.nExperts,
      num_experts_per_tok: experts.nUsed,
      tie_word_embeddings: false,
    },
    tensors: [
      ...qwen3Tensors(sizes, (prefix, hidden) => [
        router(prefix, hidden, experts.nExperts),
        ...separateExperts(prefix, hidden, experts),
      ]),
      linear('lm_head', vocabSize, sizes.hidden),
    ],
    hasVision: false,
  };
};

/** Qwen3-0.6B's sizes: 0.6 G weights, 1.2 GB in BF16. */
export const qwen3Shaped06b = (): GeneratedModel => {
  const sizes: Qwen3Sizes = {
    hidden: 1024,
    nLayers: 28,
    ff: 3072,
    nHeads: 16,
    nHeadsKv: 8,
    headDim: 128,
    vocab: 151_936,
    contextMax: 40_960,
  };
  return {
    config: {
      architectures: ['Qwen3ForCausalLM'],
      model_type: 'qwen3',
      ...qwen3Config(sizes),
      rope_theta: 1_000_000,
      rope_scaling: null,
      tie_word_embeddings: true,
    },
    tensors: qwen3Tensors(sizes, (prefix, hidden) => mlp(prefix, hidden, sizes.ff, 0.02), 0.02),
    hasVision: false,
  };
};

// Qwen3.5

interface HybridSizes extends AttentionSizes {
  readonly layerTypes: readonly ('linear_attention' | 'full_attention')[];
  readonly ff: number;
  readonly delta: {
    readonly nKeyHeads: number;
    readonly nValueHeads: number;
    readonly headDim: number;
    readonly kernel: number;
  };
  readonly rotaryFactor: number;
  readonly sections: readonly [number, number, number];
  readonly vocab: number;
  readonly contextMax: number;
  readonly std?: number;
}

const hybridHidden = 192;

const tinyHybrid = ({ heads = 2, queries = 3, ff = 352 }: HeadsOption): HybridSizes => ({
  hidden: hybridHidden,
  nHeads: queries * heads,
  nHeadsKv: heads,
  headDim: 64,
  layerTypes: ['linear_attention', 'linear_attention', 'full_attention', 'linear_attention', 'full_attention'],
  ff,
  delta: { nKeyHeads: heads, nValueHeads: 3 * heads, headDim: 64, kernel: 4 },
  rotaryFactor: 0.5,
  sections: [6, 5, 5],
  vocab: vocabSize,
  contextMax: 4096,
});

const deltaNet = (prefix: string, { hidden, delta, std }: HybridSizes): readonly TensorSpec[] => {
  const nKey = delta.nKeyHeads * delta.headDim;
  const nValue = delta.nValueHeads * delta.headDim;
  const nConv = 2 * nKey + nValue;
  return [
    linear(`${prefix}.in_proj_qkv`, nConv, hidden, std),
    linear(`${prefix}.in_proj_z`, nValue, hidden, std),
    linear(`${prefix}.in_proj_b`, delta.nValueHeads, hidden, std),
    linear(`${prefix}.in_proj_a`, delta.nValueHeads, hidden, std),
    tensor(`${prefix}.conv1d.weight`, [nConv, 1, delta.kernel], normal(0.3)),
    // With these a head forgets within some tokens to some hundreds: neither all at once nor never.
    { ...tensor(`${prefix}.A_log`, [delta.nValueHeads], { kind: 'log_uniform', min: 0.5, max: 4 }), isF32Always: true },
    tensor(`${prefix}.dt_bias`, [delta.nValueHeads], { kind: 'uniform', min: -6, max: -1 }),
    { ...tensor(`${prefix}.norm.weight`, [delta.headDim], plainNorm), isF32Always: true },
    linear(`${prefix}.out_proj`, hidden, nValue, std),
  ];
};

const hybridTensors = (prefix: string, hybrid: HybridSizes, feedForward: FeedForward): readonly TensorSpec[] => [
  linear(`${prefix}.embed_tokens`, hybrid.vocab, hybrid.hidden, hybrid.std),
  ...layers(hybrid.layerTypes.length, (i) => [
    tensor(`${prefix}.layers.${i}.input_layernorm.weight`, [hybrid.hidden], offsetNorm),
    ...(hybrid.layerTypes[i] === 'full_attention'
      ? attention(`${prefix}.layers.${i}.self_attn`, { ...hybrid, norm: offsetNorm, isGated: true })
      : deltaNet(`${prefix}.layers.${i}.linear_attn`, hybrid)),
    tensor(`${prefix}.layers.${i}.post_attention_layernorm.weight`, [hybrid.hidden], offsetNorm),
    ...feedForward(`${prefix}.layers.${i}.mlp`, hybrid.hidden),
  ]),
  tensor(`${prefix}.norm.weight`, [hybrid.hidden], offsetNorm),
];

const hybridConfig = (hybrid: HybridSizes) => ({
  attention_bias: false,
  attention_dropout: 0,
  attn_output_gate: true,
  head_dim: hybrid.headDim,
  hidden_act: 'silu',
  hidden_size: hybrid.hidden,
  initializer_range: 0.02,
  layer_types: hybrid.layerTypes,
  linear_conv_kernel_dim: hybrid.delta.kernel,
  linear_key_head_dim: hybrid.delta.headDim,
  linear_num_key_heads: hybrid.delta.nKeyHeads,
  linear_num_value_heads: hybrid.delta.nValueHeads,
  linear_value_head_dim: hybrid.delta.headDim,
  mamba_ssm_dtype: 'float32',
  max_position_embeddings: hybrid.contextMax,
  num_attention_heads: hybrid.nHeads,
  num_hidden_layers: hybrid.layerTypes.length,
  num_key_value_heads: hybrid.nHeadsKv,
  rms_norm_eps: normEps,
  rope_parameters: {
    mrope_interleaved: true,
    mrope_section: hybrid.sections,
    partial_rotary_factor: hybrid.rotaryFactor,
    rope_theta: 10_000_000,
    rope_type: 'default',
  },
  use_cache: true,
  vocab_size: hybrid.vocab,
});

const tower = { depth: 2, hidden: 144, nHeads: 2, ff: 304, channels: 3, patch: 16, nFrames: 2, merge: 2, grid: 24 };

/** Weight and bias. */
const affine = (name: string, shape: readonly number[], weight: Fill): readonly TensorSpec[] => [
  tensor(`${name}.weight`, shape, weight),
  tensor(`${name}.bias`, shape.slice(0, 1), normal(0.02)),
];

const towerTensors = (prefix: string): readonly TensorSpec[] => {
  const { hidden, ff, channels, nFrames, patch, grid } = tower;
  const merged = hidden * tower.merge ** 2;
  return [
    ...affine(`${prefix}.patch_embed.proj`, [hidden, channels, nFrames, patch, patch], normal(0.03)),
    tensor(`${prefix}.pos_embed.weight`, [grid * grid, hidden], normal(0.3)),
    ...layers(tower.depth, (i) => [
      ...affine(`${prefix}.blocks.${i}.norm1`, [hidden], plainNorm),
      ...affine(`${prefix}.blocks.${i}.attn.qkv`, [3 * hidden, hidden], normal(0.08)),
      ...affine(`${prefix}.blocks.${i}.attn.proj`, [hidden, hidden], normal(0.08)),
      ...affine(`${prefix}.blocks.${i}.norm2`, [hidden], plainNorm),
      ...affine(`${prefix}.blocks.${i}.mlp.linear_fc1`, [ff, hidden], normal(0.08)),
      ...affine(`${prefix}.blocks.${i}.mlp.linear_fc2`, [hidden, ff], normal(0.08)),
    ]),
    ...affine(`${prefix}.merger.norm`, [hidden], plainNorm),
    ...affine(`${prefix}.merger.linear_fc1`, [merged, merged], normal(0.05)),
    ...affine(`${prefix}.merger.linear_fc2`, [hybridHidden, merged], normal(0.05)),
  ];
};

const towerConfig = (modelType: string) => ({
  depth: tower.depth,
  hidden_act: 'gelu_pytorch_tanh',
  hidden_size: tower.hidden,
  in_channels: tower.channels,
  initializer_range: 0.02,
  intermediate_size: tower.ff,
  model_type: modelType,
  num_heads: tower.nHeads,
  num_position_embeddings: tower.grid ** 2,
  out_hidden_size: hybridHidden,
  patch_size: tower.patch,
  spatial_merge_size: tower.merge,
  temporal_patch_size: tower.nFrames,
});

/** The layer that predicts the token after the next. */
const predictorTensors = (hybrid: HybridSizes, feedForward: FeedForward): readonly TensorSpec[] => {
  const { hidden, std } = hybrid;
  return [
    linear('mtp.fc', hidden, 2 * hidden, std),
    tensor('mtp.pre_fc_norm_embedding.weight', [hidden], offsetNorm),
    tensor('mtp.pre_fc_norm_hidden.weight', [hidden], offsetNorm),
    tensor('mtp.norm.weight', [hidden], offsetNorm),
    tensor('mtp.layers.0.input_layernorm.weight', [hidden], offsetNorm),
    ...attention('mtp.layers.0.self_attn', { ...hybrid, norm: offsetNorm, isGated: true }),
    tensor('mtp.layers.0.post_attention_layernorm.weight', [hidden], offsetNorm),
    ...feedForward('mtp.layers.0.mlp', hidden),
  ];
};

interface HybridForm extends VisionOption, PredictorOption {
  readonly modelType: string;
  /** Beginning of the class names. */
  readonly className: string;
  readonly sizes: HybridSizes;
  readonly textConfig: Readonly<Record<string, unknown>>;
  readonly isTied: boolean;
  readonly feedForward: FeedForward;
}

const hybridModel = ({ vision, modelType, className, isTied, predictor, ...form }: HybridForm): GeneratedModel => {
  const { sizes } = form;
  const tie = { tie_word_embeddings: isTied };
  const foretells = predictor === true ? { mtp_num_hidden_layers: 1, mtp_use_dedicated_embeddings: false } : {};
  const text = { model_type: `${modelType}_text`, ...hybridConfig(sizes), ...form.textConfig, ...foretells, ...tie };
  const head = [
    ...(isTied ? [] : [linear('lm_head', sizes.vocab, sizes.hidden)]),
    ...(predictor === true ? predictorTensors(sizes, form.feedForward) : []),
  ];
  if (!vision) {
    return {
      config: { architectures: [`${className}ForCausalLM`], ...text },
      tensors: [...hybridTensors('model', sizes, form.feedForward), ...head],
      hasVision: false,
    };
  }
  return {
    config: {
      architectures: [`${className}ForConditionalGeneration`],
      model_type: modelType,
      text_config: text,
      vision_config: towerConfig(`${modelType}_vision`),
      vision_start_token_id: 629,
      vision_end_token_id: 630,
      image_token_id: 632,
      video_token_id: 633,
      ...tie,
    },
    tensors: [
      ...hybridTensors('model.language_model', sizes, form.feedForward),
      ...towerTensors('model.visual'),
      ...head,
    ],
    hasVision: true,
  };
};

/** Dense and tied: 3 layers of gated delta rule, 2 of full attention; the tower has 2 blocks with heads of 72. */
export const tinyQwen35 = ({
  vision,
  predictor = false,
  ...options
}: VisionOption & PredictorOption & HeadsOption): GeneratedModel => {
  const sizes = tinyHybrid(options);
  return hybridModel({
    vision,
    predictor,
    modelType: 'qwen3_5',
    className: 'Qwen3_5',
    sizes,
    textConfig: { intermediate_size: sizes.ff },
    isTied: true,
    feedForward: (prefix, hidden) => mlp(prefix, hidden, sizes.ff),
  });
};

/** Qwen3.5-0.8B's sizes without its tower: 0.75 G weights, 1.5 GB in BF16. */
export const qwen35Shaped08b = (predictor = false): GeneratedModel => {
  const std = 0.02;
  const sizes: HybridSizes = {
    hidden: 1024,
    nHeads: 8,
    nHeadsKv: 2,
    headDim: 256,
    layerTypes: Array.from({ length: 24 }, (_, i) => (i % 4 === 3 ? 'full_attention' : 'linear_attention')),
    ff: 3584,
    delta: { nKeyHeads: 16, nValueHeads: 16, headDim: 128, kernel: 4 },
    rotaryFactor: 0.25,
    sections: [11, 11, 10],
    vocab: 248_320,
    contextMax: 262_144,
    std,
  };
  return hybridModel({
    vision: false,
    predictor,
    modelType: 'qwen3_5',
    className: 'Qwen3_5',
    sizes,
    textConfig: { intermediate_size: sizes.ff },
    isTied: true,
    feedForward: (prefix, hidden) => mlp(prefix, hidden, sizes.ff, std),
  });
};

/**
 * The same sizes with a predictor, and with weights by which both know what follows: after each token comes the next of
 * the vocabulary. The layers compute all they would otherwise, and add nothing.
 */
export const qwen35Counting08b = (): GeneratedModel => {
  const { config, tensors } = qwen35Shaped08b(true);
  const [embeds] = tensors;
  if (embeds === undefined || embeds.fill.kind !== 'normal') throw new Error('the embedding comes first');
  const silent = /\.(o_proj|out_proj|down_proj)\.weight$/;
  const counting = tensors.map((spec): TensorSpec => {
    if (spec.name === 'mtp.fc.weight') return { ...spec, fill: { kind: 'diagonal' } };
    return silent.test(spec.name) ? { ...spec, fill: normal(0) } : spec;
  });
  const head: TensorSpec = {
    ...embeds,
    name: 'lm_head.weight',
    fill: { kind: 'row_later', of: embeds.name, fill: embeds.fill },
  };
  return { config: { ...config, tie_word_embeddings: false }, tensors: [...counting, head], hasVision: false };
};

/** The same with 7 experts of which 3 are used, and a shared one; untied. */
export const tinyQwen35Moe = ({
  vision,
  experts = 'fused',
  predictor = false,
  ...options
}: VisionOption & ExpertsOption & PredictorOption & HeadsOption): GeneratedModel => {
  const sizes: ExpertSizes = { nExperts: 7, nUsed: 3, width: options.ff ?? 96 };
  const sharedWidth = 160;
  return hybridModel({
    vision,
    predictor,
    modelType: 'qwen3_5_moe',
    className: 'Qwen3_5Moe',
    sizes: tinyHybrid(options),
    textConfig: {
      moe_intermediate_size: sizes.width,
      num_experts: sizes.nExperts,
      num_experts_per_tok: sizes.nUsed,
      shared_expert_intermediate_size: sharedWidth,
    },
    isTied: false,
    feedForward: (prefix, hidden) => [
      router(prefix, hidden, sizes.nExperts),
      ...(experts === 'fused' ? fusedExperts : separateExperts)(prefix, hidden, sizes),
      ...mlp(`${prefix}.shared_expert`, hidden, sharedWidth),
      linear(`${prefix}.shared_expert_gate`, 1, hidden),
    ],
  });
};
