/**
 * For tests and benchmarks: the tensors of a language model under llama.cpp's names and with its transformations, written
 * from llama.cpp's side and not from the engine's weight tables, so that one can be held against the other.
 */
import type { CheckpointValues } from './checkpoint-values.ts';
import { exactPlan, matrixPlan, type Piece, type TensorPlan } from './tensor-plan.ts';
import type { TextSizes } from './text-config.ts';

export interface PlanOptions {
  /** One tensor for gates and ups of all experts, as some converters write. */
  readonly fusedExperts: boolean;
  /** One tensor for queries, keys and values, as llama.cpp's converter writes on demand. */
  readonly fusedAttention: boolean;
}

interface Scope {
  readonly sizes: TextSizes;
  readonly checkpoint: CheckpointValues;
  readonly options: PlanOptions;
}

/** Qwen3.5 keeps norms as their distance from one; a GGUF has them whole. */
const normPlan = ({ hybrid }: TextSizes, name: string, source: string, n: number): TensorPlan => ({
  ...exactPlan(name, source, [n]),
  ...(hybrid === null ? {} : { map: (values: Float32Array) => values.map((value) => 1 + value) }),
});

const fusedPlan = (name: string, plans: readonly TensorPlan[]): TensorPlan => ({
  name,
  ne: [plans[0]?.ne[0] ?? 0, plans.reduce((n, { ne }) => n + (ne[1] ?? 0), 0)],
  precision: 'matrix',
  pieces: plans.flatMap(({ pieces }) => pieces),
});

const attentionPlans = ({ sizes, options }: Scope, from: string, to: string): readonly TensorPlan[] => {
  const { hidden, nHeads, nHeadsKv, headDim, hybrid } = sizes;
  const nQuery = nHeads * headDim * (hybrid === null ? 1 : 2);
  const inputs = [
    matrixPlan(`${to}.attn_q.weight`, `${from}.q_proj.weight`, hidden, nQuery),
    matrixPlan(`${to}.attn_k.weight`, `${from}.k_proj.weight`, hidden, nHeadsKv * headDim),
    matrixPlan(`${to}.attn_v.weight`, `${from}.v_proj.weight`, hidden, nHeadsKv * headDim),
  ];
  return [
    ...(options.fusedAttention ? [fusedPlan(`${to}.attn_qkv.weight`, inputs)] : inputs),
    matrixPlan(`${to}.attn_output.weight`, `${from}.o_proj.weight`, nHeads * headDim, hidden),
    normPlan(sizes, `${to}.attn_q_norm.weight`, `${from}.q_norm.weight`, headDim),
    normPlan(sizes, `${to}.attn_k_norm.weight`, `${from}.k_norm.weight`, headDim),
  ];
};

/**
 * Value heads from grouped by key head, as Hugging Face has them, to tiled: a copy of `values` in which the blocks of
 * `width` from the one at `first` on are in the new order.
 */
const tileHeads = (
  values: Float32Array,
  { nKeyHeads, nValueHeads }: { readonly nKeyHeads: number; readonly nValueHeads: number },
  { width, first = 0 }: { readonly width: number; readonly first?: number },
): Float32Array => {
  const tiled = values.slice();
  const perKey = nValueHeads / nKeyHeads;
  for (let key = 0; key < nKeyHeads; key++) {
    for (let i = 0; i < perKey; i++) {
      const from = first + (key * perKey + i) * width;
      tiled.set(values.subarray(from, from + width), first + (i * nKeyHeads + key) * width);
    }
  }
  return tiled;
};

const deltaNetPlans = (sizes: TextSizes, from: string, to: string): readonly TensorPlan[] => {
  const { hidden, hybrid } = sizes;
  if (hybrid === null) return [];
  const { nKeyHeads, nValueHeads, headDim, kernel } = hybrid;
  const nKeys = 2 * nKeyHeads * headDim;
  const nValues = nValueHeads * headDim;
  const nChannels = nKeys + nValues;
  const tiled = (width: number, first = 0) => ({
    map: (values: Float32Array) => tileHeads(values, hybrid, { width, first }),
  });
  const tileColumns = (values: Float32Array): Float32Array => {
    const result = new Float32Array(values.length);
    for (let first = 0; first < values.length; first += nValues)
      result.set(tileHeads(values.subarray(first, first + nValues), hybrid, { width: headDim }), first);
    return result;
  };
  return [
    {
      ...matrixPlan(`${to}.attn_qkv.weight`, `${from}.in_proj_qkv.weight`, hidden, nChannels),
      ...tiled(headDim * hidden, nKeys * hidden),
    },
    {
      ...matrixPlan(`${to}.attn_gate.weight`, `${from}.in_proj_z.weight`, hidden, nValues),
      ...tiled(headDim * hidden),
    },
    { ...matrixPlan(`${to}.ssm_beta.weight`, `${from}.in_proj_b.weight`, hidden, nValueHeads), ...tiled(hidden) },
    { ...matrixPlan(`${to}.ssm_alpha.weight`, `${from}.in_proj_a.weight`, hidden, nValueHeads), ...tiled(hidden) },
    {
      ...exactPlan(`${to}.ssm_a`, `${from}.A_log`, [nValueHeads]),
      map: (values) => tileHeads(values, hybrid, { width: 1 }).map((value) => -Math.exp(value)),
    },
    { ...exactPlan(`${to}.ssm_dt.bias`, `${from}.dt_bias`, [nValueHeads]), ...tiled(1) },
    {
      ...exactPlan(`${to}.ssm_conv1d.weight`, `${from}.conv1d.weight`, [kernel, nChannels]),
      ...tiled(headDim * kernel, nKeys * kernel),
    },
    exactPlan(`${to}.ssm_norm.weight`, `${from}.norm.weight`, [headDim]),
    { ...matrixPlan(`${to}.ssm_out.weight`, `${from}.out_proj.weight`, nValues, hidden), map: tileColumns },
  ];
};

const mlpPlans = (from: string, to: string, hidden: number, width: number, suffix = ''): readonly TensorPlan[] => [
  matrixPlan(`${to}.ffn_gate${suffix}.weight`, `${from}.gate_proj.weight`, hidden, width),
  matrixPlan(`${to}.ffn_up${suffix}.weight`, `${from}.up_proj.weight`, hidden, width),
  matrixPlan(`${to}.ffn_down${suffix}.weight`, `${from}.down_proj.weight`, width, hidden),
];

type Projection = 'gate' | 'up' | 'down';

const expertPlans = (scope: Scope, from: string, to: string): readonly TensorPlan[] => {
  const { hidden, experts } = scope.sizes;
  if (experts === null) return [];
  const { n, width } = experts;
  const isFused = scope.checkpoint.has(`${from}.experts.gate_up_proj`);
  const piece = (expert: number, projection: Projection): Piece => {
    if (!isFused) return { name: `${from}.experts.${expert}.${projection}_proj.weight` };
    const size = width * hidden;
    if (projection === 'down') return { name: `${from}.experts.down_proj`, first: expert * size, n: size };
    const first = (2 * expert + (projection === 'up' ? 1 : 0)) * size;
    return { name: `${from}.experts.gate_up_proj`, first, n: size };
  };
  const stacked = (name: string, ne: readonly number[], projections: readonly Projection[]): TensorPlan => ({
    name: `${to}.ffn_${name}_exps.weight`,
    ne: [...ne, n],
    precision: 'matrix',
    pieces: Array.from({ length: n }, (_, e) => projections.map((projection) => piece(e, projection))).flat(),
  });
  return [
    exactPlan(`${to}.ffn_gate_inp.weight`, `${from}.gate.weight`, [hidden, n]),
    ...(scope.options.fusedExperts
      ? [stacked('gate_up', [hidden, 2 * width], ['gate', 'up'])]
      : [stacked('gate', [hidden, width], ['gate']), stacked('up', [hidden, width], ['up'])]),
    stacked('down', [width, hidden], ['down']),
  ];
};

const feedForwardPlans = (scope: Scope, from: string, to: string): readonly TensorPlan[] => {
  const { hidden, ff, experts } = scope.sizes;
  if (experts === null) return mlpPlans(from, to, hidden, ff);
  const routed = expertPlans(scope, from, to);
  if (experts.sharedWidth === 0) return routed;
  return [
    ...routed,
    ...mlpPlans(`${from}.shared_expert`, to, hidden, experts.sharedWidth, '_shexp'),
    exactPlan(`${to}.ffn_gate_inp_shexp.weight`, `${from}.shared_expert_gate.weight`, [hidden]),
  ];
};

interface Layer {
  readonly from: string;
  readonly to: string;
  readonly isFull: boolean;
}

const layerPlans = (scope: Scope, { from, to, isFull }: Layer): readonly TensorPlan[] => {
  const { sizes } = scope;
  const secondNorm = sizes.hybrid === null ? 'ffn_norm' : 'post_attention_norm';
  return [
    normPlan(sizes, `${to}.attn_norm.weight`, `${from}.input_layernorm.weight`, sizes.hidden),
    ...(isFull ? attentionPlans(scope, `${from}.self_attn`, to) : deltaNetPlans(sizes, `${from}.linear_attn`, to)),
    normPlan(sizes, `${to}.${secondNorm}.weight`, `${from}.post_attention_layernorm.weight`, sizes.hidden),
    ...feedForwardPlans(scope, `${from}.mlp`, to),
  ];
};

/** The block that predicts the token after the next, numbered on from the layers. */
const predictorPlans = (scope: Scope): readonly TensorPlan[] => {
  const { sizes } = scope;
  const { hidden, nLayers } = sizes;
  const to = `blk.${nLayers}`;
  return [
    ...layerPlans(scope, { from: 'mtp.layers.0', to, isFull: true }),
    matrixPlan(`${to}.nextn.eh_proj.weight`, 'mtp.fc.weight', 2 * hidden, hidden),
    normPlan(sizes, `${to}.nextn.enorm.weight`, 'mtp.pre_fc_norm_embedding.weight', hidden),
    normPlan(sizes, `${to}.nextn.hnorm.weight`, 'mtp.pre_fc_norm_hidden.weight', hidden),
    normPlan(sizes, `${to}.nextn.shared_head_norm.weight`, 'mtp.norm.weight', hidden),
  ];
};

export const hasPredictor = (checkpoint: CheckpointValues): boolean => checkpoint.has('mtp.fc.weight');

export const textPlans = (
  sizes: TextSizes,
  checkpoint: CheckpointValues,
  options: PlanOptions,
): readonly TensorPlan[] => {
  const scope = { sizes, checkpoint, options };
  const { hidden, nVocab, nLayers, hybrid } = sizes;
  const prefix = ['model.language_model.', 'model.'].find((start) => checkpoint.has(`${start}norm.weight`)) ?? '';
  return [
    matrixPlan('token_embd.weight', `${prefix}embed_tokens.weight`, hidden, nVocab),
    normPlan(sizes, 'output_norm.weight', `${prefix}norm.weight`, hidden),
    ...(checkpoint.has('lm_head.weight') ? [matrixPlan('output.weight', 'lm_head.weight', hidden, nVocab)] : []),
    ...Array.from({ length: nLayers }, (_, i) =>
      layerPlans(scope, {
        from: `${prefix}layers.${i}`,
        to: `blk.${i}`,
        isFull: hybrid?.isFull[i] ?? true,
      }),
    ).flat(),
    ...(hasPredictor(checkpoint) ? predictorPlans(scope) : []),
  ];
};
