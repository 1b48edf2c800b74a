/**
 * Qwen3.5's full attention: each head's query comes with a gate of its size, positions have three axes, and the
 * output passes the gate's sigmoid (Hugging Face `Qwen3_5Attention`).
 */
import { ops, type Tensor } from '@cortex/ggml';
import { cachedAttention } from '../../blocks/cached-attention.ts';
import { rmsNorm } from '../../blocks/norm.ts';
import { matrix, onePlusVector, type WeightSpec } from '../../model/weight-spec.ts';
import type { GraphBuild, LayerCacheTensors, TextBatch } from '../arch.ts';
import type { Qwen35Base } from './config.ts';

export const gatedAttentionWeights = (base: Qwen35Base, i: number): WeightSpec[] => {
  const { hiddenSize, headDim, nHeads, nHeadsKv, prefix } = base;
  const from = `${prefix}layers.${i}.self_attn`;
  const to = `blk.${i}`;
  return [
    matrix(`${to}.attn_q.weight`, `${from}.q_proj.weight`, hiddenSize, 2 * nHeads * headDim),
    matrix(`${to}.attn_k.weight`, `${from}.k_proj.weight`, hiddenSize, nHeadsKv * headDim),
    matrix(`${to}.attn_v.weight`, `${from}.v_proj.weight`, hiddenSize, nHeadsKv * headDim),
    onePlusVector(`${to}.attn_q_norm.weight`, `${from}.q_norm.weight`, headDim),
    onePlusVector(`${to}.attn_k_norm.weight`, `${from}.k_norm.weight`, headDim),
    matrix(`${to}.attn_output.weight`, `${from}.o_proj.weight`, nHeads * headDim, hiddenSize),
  ];
};

/** x [hidden, n] → [hidden, n] */
export const gatedAttention = (
  build: GraphBuild,
  x: Tensor,
  batch: TextBatch,
  cache: LayerCacheTensors,
  { base, i }: { readonly base: Qwen35Base; readonly i: number },
): Tensor => {
  const { ctx, weight } = build;
  const { headDim, nHeads, nHeadsKv, normEps, rope } = base;
  const n = x.ne[1];
  const rotate = (t: Tensor): Tensor =>
    ops.rope(ctx, t, batch.positions, {
      mode: 'interleavedMrope',
      nDims: rope.nDims,
      sections: rope.sections,
      freqBase: rope.theta,
    });
  const both = ops.mulMat(ctx, weight(`blk.${i}.attn_q.weight`), x); // [2·headDim·nHeads, n]: query | gate per head
  const part = (offset: number): Tensor =>
    ops.view(ctx, both, [headDim, nHeads, n], { nb1: 2 * headDim * 4, nb2: both.nb[1], offset: offset * 4 });
  const gate = ops.cont(ctx, part(headDim), headDim * nHeads, n);
  const keys = ops.reshape(ctx, ops.mulMat(ctx, weight(`blk.${i}.attn_k.weight`), x), headDim, nHeadsKv, n);
  const q = rotate(rmsNorm(ctx, part(0), weight(`blk.${i}.attn_q_norm.weight`), normEps));
  const k = rotate(rmsNorm(ctx, keys, weight(`blk.${i}.attn_k_norm.weight`), normEps));
  const v = ops.mulMat(ctx, weight(`blk.${i}.attn_v.weight`), x);
  const attended = cachedAttention(build, { q, k, v }, batch, cache, base); // [headDim·nHeads, n]
  const gated = ops.mul(ctx, attended, ops.sigmoid(ctx, gate));
  return ops.mulMat(ctx, weight(`blk.${i}.attn_output.weight`), gated);
};
