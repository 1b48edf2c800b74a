/**
 * Weights of the gated delta net layers. Hugging Face groups value heads by key head (h ↦ h div r); ggml's kernel
 * tiles them (h ↦ h mod nKeyHeads): everything with value heads is permuted here, once.
 */
import {
  alongRows,
  byRows,
  onePlusVector,
  type MapRow,
  type SplitUnit,
  type WeightSpec,
} from '../../model/weight-spec.ts';
import type { LayerNames, Qwen35Base } from './config.ts';

/**
 * Value heads go with their key head. Tiled, they are as many runs of all key heads as a key head has value heads;
 * queries and keys are one run each.
 */
export const deltaUnits = ({
  nKeyHeads,
  nValueHeads,
}: Qwen35Base['delta']): { readonly unit: SplitUnit; readonly nValueRuns: number } => ({
  unit: { name: 'key heads of linear attention', count: nKeyHeads },
  nValueRuns: nValueHeads / nKeyHeads,
});

/** Checkpoint head of each tiled head. */
const tiledHeads = (nKeyHeads: number, nValueHeads: number): Int32Array => {
  const perKey = nValueHeads / nKeyHeads;
  return Int32Array.from({ length: nValueHeads }, (_, t) => (t % nKeyHeads) * perKey + Math.floor(t / nKeyHeads));
};

/** `heads` applied to blocks of `width` rows that begin after `first` rows left as they are. */
const blockOrder = (heads: Int32Array, width: number, first = 0): Int32Array =>
  Int32Array.from({ length: first + heads.length * width }, (_, row) => {
    if (row < first) return row;
    const at = row - first;
    return first + (heads[Math.floor(at / width)] ?? 0) * width + (at % width);
  });

/** Reorders the elements of each row. */
const reorder =
  (order: Int32Array, map: (value: number) => number = (value) => value): MapRow =>
  (source, target) =>
    order.forEach((from, i) => (target[i] = map(source[from] ?? 0)));

export const deltaNetWeights = ({ hiddenSize, delta }: Qwen35Base, { from: layer, to }: LayerNames): WeightSpec[] => {
  const { nKeyHeads, nValueHeads, headDim, kernel } = delta;
  const from = `${layer}.linear_attn`;
  const heads = tiledHeads(nKeyHeads, nValueHeads);
  const keys = 2 * nKeyHeads * headDim;
  const values = nValueHeads * headDim;
  const channels = keys + values;
  const { unit, nValueRuns } = deltaUnits(delta);
  const perHead = (name: string, source: string, map: (value: number) => number): WeightSpec => ({
    name: `${to}.${name}`,
    ne: [nValueHeads],
    role: 'exact',
    parts: [{ name: `${from}.${source}`, shape: [nValueHeads] }],
    mapRow: reorder(heads, map),
    split: alongRows(unit, nValueRuns),
  });
  const gate = (name: string, source: string): WeightSpec => ({
    name: `${to}.${name}.weight`,
    ne: [hiddenSize, nValueHeads],
    role: 'gate',
    parts: [{ name: `${from}.${source}.weight`, shape: [nValueHeads, hiddenSize] }],
    rowOrder: heads,
    split: byRows(unit, nValueRuns),
  });
  return [
    {
      name: `${to}.attn_qkv.weight`,
      ne: [hiddenSize, channels],
      role: 'linear',
      parts: [{ name: `${from}.in_proj_qkv.weight`, shape: [channels, hiddenSize] }],
      rowOrder: blockOrder(heads, headDim, keys),
      split: byRows(unit, 2 + nValueRuns),
    },
    {
      name: `${to}.attn_gate.weight`,
      ne: [hiddenSize, values],
      role: 'linear',
      parts: [{ name: `${from}.in_proj_z.weight`, shape: [values, hiddenSize] }],
      rowOrder: blockOrder(heads, headDim),
      split: byRows(unit, nValueRuns),
    },
    gate('ssm_beta', 'in_proj_b'),
    gate('ssm_alpha', 'in_proj_a'),
    perHead('ssm_a', 'A_log', (value) => -Math.exp(value)),
    perHead('ssm_dt.bias', 'dt_bias', (value) => value),
    {
      name: `${to}.ssm_conv1d.weight`,
      ne: [kernel, channels],
      role: 'exact',
      parts: [{ name: `${from}.conv1d.weight`, shape: [channels, 1, kernel] }],
      rowOrder: blockOrder(heads, headDim, keys),
      split: byRows(unit, 2 + nValueRuns),
    },
    {
      name: `${to}.ssm_norm.weight`,
      ne: [headDim],
      role: 'exact',
      parts: [{ name: `${from}.norm.weight`, shape: [headDim] }],
    },
    {
      name: `${to}.ssm_out.weight`,
      ne: [values, hiddenSize],
      role: 'linear',
      parts: [{ name: `${from}.out_proj.weight`, shape: [hiddenSize, values] }],
      mapRow: reorder(blockOrder(heads, headDim)),
      split: alongRows(unit, nValueRuns),
    },
  ];
};

/** The two norms around a layer's mixer, as every layer has them. */
export const layerNormWeights = ({ hiddenSize }: Qwen35Base, { from, to }: LayerNames): WeightSpec[] => [
  onePlusVector(`${to}.attn_norm.weight`, `${from}.input_layernorm.weight`, hiddenSize),
  onePlusVector(`${to}.post_attention_norm.weight`, `${from}.post_attention_layernorm.weight`, hiddenSize),
];
