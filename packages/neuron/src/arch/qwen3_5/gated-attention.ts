/**
 * Qwen3.5's full attention: each head's query comes with a gate of its size, positions have three axes, and the
 * output passes the gate's sigmoid (Hugging Face `Qwen3_5Attention`).
 */
import { ops, type Tensor } from '@cortex/ggml';
import { attendCached, storeKeysValues } from '../../blocks/cached-attention.ts';
import { rmsNorm } from '../../blocks/norm.ts';
import { alongRows, byRows, fusedInGguf, matrix, onePlusVector, type WeightSpec } from '../../model/weight-spec.ts';
import type { GraphBuild, LayerCacheTensors, TextBatch } from '../arch.ts';
import { headUnits } from '../head-units.ts';
import type { LayerNames, Qwen35Base } from './config.ts';

export const gatedAttentionWeights = (base: Qwen35Base, { from: layer, to }: LayerNames): WeightSpec[] => {
  const { hiddenSize, headDim, nHeads, nHeadsKv } = base;
  const heads = byRows(headUnits(base));
  const from = `${layer}.self_attn`;
  return [
    ...fusedInGguf(`${to}.attn_qkv.weight`, [
      matrix(`${to}.attn_q.weight`, `${from}.q_proj.weight`, hiddenSize, 2 * nHeads * headDim, heads),
      matrix(`${to}.attn_k.weight`, `${from}.k_proj.weight`, hiddenSize, nHeadsKv * headDim, heads),
      matrix(`${to}.attn_v.weight`, `${from}.v_proj.weight`, hiddenSize, nHeadsKv * headDim, heads),
    ]),
    onePlusVector(`${to}.attn_q_norm.weight`, `${from}.q_norm.weight`, headDim),
    onePlusVector(`${to}.attn_k_norm.weight`, `${from}.k_norm.weight`, headDim),
    matrix(
      `${to}.attn_output.weight`,
      `${from}.o_proj.weight`,
      nHeads * headDim,
      hiddenSize,
      alongRows(headUnits(base)),
    ),
  ];
};

interface AttentionLayer {
  readonly base: Qwen35Base;
  /** Its weights' prefix. */
  readonly to: string;
}

const rotated = ({ ctx }: GraphBuild, heads: Tensor, { positions }: TextBatch, { rope }: Qwen35Base): Tensor =>
  ops.rope(ctx, heads, positions, {
    mode: 'interleavedMrope',
    nDims: rope.nDims,
    sections: rope.sections,
    freqBase: rope.theta,
  });

/** Writes the keys and values of x [hidden, n]: all that later tokens need of it. */
export const storeAttention = (
  build: GraphBuild,
  x: Tensor,
  batch: TextBatch,
  cache: LayerCacheTensors,
  { base, to }: AttentionLayer,
): void => {
  const { ctx, weight } = build;
  const { headDim, nHeadsKv, normEps } = base;
  const keys = ops.reshape(ctx, ops.mulMat(ctx, weight(`${to}.attn_k.weight`), x), headDim, nHeadsKv, x.ne[1]);
  const k = rotated(build, rmsNorm(ctx, keys, weight(`${to}.attn_k_norm.weight`), normEps), batch, base);
  const v = ops.mulMat(ctx, weight(`${to}.attn_v.weight`), x);
  storeKeysValues(build, { k, v }, batch, cache);
};

/** x [hidden, n] → [hidden, n] */
export const gatedAttention = (
  build: GraphBuild,
  x: Tensor,
  batch: TextBatch,
  cache: LayerCacheTensors,
  layer: AttentionLayer,
): Tensor => {
  const { ctx, weight } = build;
  const { base, to } = layer;
  const { headDim, nHeads, normEps } = base;
  const n = x.ne[1];
  storeAttention(build, x, batch, cache, layer);
  const both = ops.mulMat(ctx, weight(`${to}.attn_q.weight`), x); // [2·headDim·nHeads, n]: query | gate per head
  const part = (offset: number): Tensor =>
    ops.view(ctx, both, [headDim, nHeads, n], { nb1: 2 * headDim * 4, nb2: both.nb[1], offset: offset * 4 });
  const gate = ops.cont(ctx, part(headDim), headDim * nHeads, n);
  const q = rotated(build, rmsNorm(ctx, part(0), weight(`${to}.attn_q_norm.weight`), normEps), batch, base);
  const attended = attendCached(build, q, batch, cache, base); // [headDim·nHeads, n]
  const gated = ops.mul(ctx, attended, ops.sigmoid(ctx, gate));
  return ops.mulMat(ctx, weight(`${to}.attn_output.weight`), gated);
};
