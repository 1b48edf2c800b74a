/** Qwen3's attention: queries and keys normed per head, then rotated (Hugging Face `Qwen3Attention`). */
import { ops, type Tensor } from '@cortex/ggml';
import { attendCached, storeKeysValues } from '../../blocks/cached-attention.ts';
import { rmsNorm } from '../../blocks/norm.ts';
import { alongRows, byRows, fusedInGguf, matrix, vector, type WeightSpec } from '../../model/weight-spec.ts';
import type { GraphBuild, LayerCacheTensors, TextBatch } from '../arch.ts';
import { headUnits } from '../head-units.ts';
import type { Qwen3Base } from './config.ts';

export const attentionWeights = (base: Qwen3Base, i: number): WeightSpec[] => {
  const { hiddenSize, headDim, nHeads, nHeadsKv, prefix } = base;
  const heads = byRows(headUnits(base));
  const from = `${prefix}layers.${i}.self_attn`;
  const to = `blk.${i}`;
  return [
    vector(`${to}.attn_norm.weight`, `${prefix}layers.${i}.input_layernorm.weight`, hiddenSize),
    ...fusedInGguf(`${to}.attn_qkv.weight`, [
      matrix(`${to}.attn_q.weight`, `${from}.q_proj.weight`, hiddenSize, nHeads * headDim, heads),
      matrix(`${to}.attn_k.weight`, `${from}.k_proj.weight`, hiddenSize, nHeadsKv * headDim, heads),
      matrix(`${to}.attn_v.weight`, `${from}.v_proj.weight`, hiddenSize, nHeadsKv * headDim, heads),
    ]),
    vector(`${to}.attn_q_norm.weight`, `${from}.q_norm.weight`, headDim),
    vector(`${to}.attn_k_norm.weight`, `${from}.k_norm.weight`, headDim),
    matrix(
      `${to}.attn_output.weight`,
      `${from}.o_proj.weight`,
      nHeads * headDim,
      hiddenSize,
      alongRows(headUnits(base)),
    ),
    vector(`${to}.ffn_norm.weight`, `${prefix}layers.${i}.post_attention_layernorm.weight`, hiddenSize),
  ];
};

/** x [hidden, n] → [hidden, n] */
export const attention = (
  build: GraphBuild,
  x: Tensor,
  batch: TextBatch,
  cache: LayerCacheTensors,
  { base, i }: { readonly base: Qwen3Base; readonly i: number },
): Tensor => {
  const { ctx, weight } = build;
  const { headDim, nHeads, nHeadsKv, normEps, ropeTheta, ropeScaling } = base;
  const n = x.ne[1];
  const rotate = (t: Tensor): Tensor =>
    ops.rope(ctx, t, batch.positions, {
      mode: 'neox',
      nDims: headDim,
      freqBase: ropeTheta,
      ...(ropeScaling === null ? {} : { scaling: ropeScaling }),
    });
  const heads = (name: string, nHeadsOf: number): Tensor =>
    ops.reshape(ctx, ops.mulMat(ctx, weight(`blk.${i}.${name}.weight`), x), headDim, nHeadsOf, n);
  const q = rotate(rmsNorm(ctx, heads('attn_q', nHeads), weight(`blk.${i}.attn_q_norm.weight`), normEps));
  const k = rotate(rmsNorm(ctx, heads('attn_k', nHeadsKv), weight(`blk.${i}.attn_k_norm.weight`), normEps));
  const v = ops.mulMat(ctx, weight(`blk.${i}.attn_v.weight`), x); // [headDim·nHeadsKv, n]
  storeKeysValues(build, { k, v }, batch, cache);
  const attended = attendCached(build, q, batch, cache, base);
  return ops.mulMat(ctx, weight(`blk.${i}.attn_output.weight`), attended);
};
