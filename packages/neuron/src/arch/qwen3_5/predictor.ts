/**
 * The further layer of Qwen3.5's checkpoints (`mtp.*`, in GGUF files the block behind the last): the embedding of a token
 * and the final hidden state of the one before, each normed, become one input of a layer with full attention, whose
 * normed output the model's own head reads (vLLM `Qwen3_5MultiTokenPredictor`; Hugging Face leaves it out).
 */
import { ops, type Tensor } from '@cortex/ggml';
import { joined } from '../../blocks/cached-attention.ts';
import type { DecoderLayer } from '../../blocks/decoder.ts';
import { rmsNorm } from '../../blocks/norm.ts';
import { alongRows, matrix, onePlusVector, type TensorNames, type WeightSpec } from '../../model/weight-spec.ts';
import type { GraphBuild, LayerCacheTensors, Predictor, TextBatch } from '../arch.ts';
import { headUnits } from '../head-units.ts';
import type { LayerNames, Qwen35Base } from './config.ts';
import { layerNormWeights } from './delta-weights.ts';
import { gatedAttention, gatedAttentionWeights, storeAttention } from './gated-attention.ts';

export interface FeedForward {
  readonly weights: readonly WeightSpec[];
  readonly build: DecoderLayer['feedForward'];
}

/** Behind the layers. */
export const predictorNames = ({ nLayers }: Qwen35Base): LayerNames => ({ from: 'mtp.layers.0', to: `blk.${nLayers}` });

export interface Qwen35Predictor extends Predictor {
  /** Writes its cache for a step of the layers: their embeddings and final hidden states [hidden, n]. */
  follow(build: GraphBuild, batch: TextBatch, embeds: Tensor, hidden: Tensor): void;
}

const isThere = (names: TensorNames, { name, parts, gguf = [] }: WeightSpec): boolean =>
  names.has(name) || [{ parts }, ...gguf].some((form) => form.parts.every((part) => names.has(part.name)));

const cacheOf = ({ caches }: GraphBuild): LayerCacheTensors => {
  const cache = caches.at(-1);
  if (cache === undefined) throw new Error('the predictor has no cache');
  return cache;
};

/** Each column's hidden state one token back: what came before a sequence's step, then all but its last. */
const oneBack = ({ ctx }: GraphBuild, { nTokens, rows }: TextBatch, before: Tensor, hidden: Tensor): Tensor => {
  if (nTokens === 1) return before;
  const n = hidden.ne[0];
  const columns = rows.map((_, b) => {
    const first = ops.view(ctx, before, [n, 1], { offset: b * before.nb[1] });
    const others = ops.view(ctx, hidden, [n, nTokens - 1], { offset: b * nTokens * hidden.nb[1] });
    return ops.concat(ctx, first, others, 1);
  });
  return joined({ ctx }, columns);
};

/** Null for a checkpoint without all of it. */
export const predictorOf = (base: Qwen35Base, names: TensorNames, feedForward: FeedForward): Qwen35Predictor | null => {
  const { hiddenSize, headDim, nHeadsKv, normEps } = base;
  const layer = predictorNames(base);
  const { to } = layer;
  const own = `${to}.nextn.shared_head_norm.weight`;
  // Some files leave out what equals the model's.
  const hasNorm = names.has(own) || names.has('mtp.norm.weight');
  const weights: readonly WeightSpec[] = [
    matrix(`${to}.nextn.eh_proj.weight`, 'mtp.fc.weight', 2 * hiddenSize, hiddenSize),
    onePlusVector(`${to}.nextn.enorm.weight`, 'mtp.pre_fc_norm_embedding.weight', hiddenSize),
    onePlusVector(`${to}.nextn.hnorm.weight`, 'mtp.pre_fc_norm_hidden.weight', hiddenSize),
    ...(hasNorm ? [onePlusVector(own, 'mtp.norm.weight', hiddenSize)] : []),
    ...layerNormWeights(base, layer),
    ...gatedAttentionWeights(base, layer),
    ...feedForward.weights,
  ];
  if (base.predictorEmbeds || !weights.every((spec) => isThere(names, spec))) return null;

  const normed = ({ ctx, weight }: GraphBuild, x: Tensor, name: string): Tensor =>
    rmsNorm(ctx, x, weight(name), normEps);
  const input = (build: GraphBuild, embeds: Tensor, before: Tensor): Tensor => {
    const { ctx, weight } = build;
    const [e, h] = [
      normed(build, embeds, `${to}.nextn.enorm.weight`),
      normed(build, before, `${to}.nextn.hnorm.weight`),
    ];
    return ops.mulMat(ctx, weight(`${to}.nextn.eh_proj.weight`), ops.concat(ctx, e, h, 0)); // [hidden, n]
  };
  return {
    weights,
    cache: { kind: 'attention', rowLength: headDim * nHeadsKv, headDim, split: alongRows(headUnits(base)) },
    nTensorsMax: 160,
    follow: (build, batch, embeds, hidden) => {
      if (batch.before === null) return;
      const x = normed(
        build,
        input(build, embeds, oneBack(build, batch, batch.before, hidden)),
        `${to}.attn_norm.weight`,
      );
      storeAttention(build, x, batch, cacheOf(build), { base, to });
    },
    buildNext: (build, batch) => {
      const { ctx, weight } = build;
      if (batch.before === null) throw new Error('a predictor must know what came before');
      let x = input(build, ops.getRows(ctx, weight('token_embd.weight'), batch.ids), batch.before);
      const mixed = gatedAttention(build, normed(build, x, `${to}.attn_norm.weight`), batch, cacheOf(build), {
        base,
        to,
      });
      x = ops.add(ctx, x, mixed);
      x = ops.add(ctx, x, feedForward.build(build, normed(build, x, `${to}.post_attention_norm.weight`)));
      return normed(build, x, hasNorm ? own : 'output_norm.weight');
    },
  };
};
