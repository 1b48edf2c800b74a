/** Qwen3.5 and 3.6, dense (Hugging Face `models/qwen3_5/modeling_qwen3_5.py`). */
import { z } from 'zod';
import { decoder, languageHead, type DecoderLayer } from '../../blocks/decoder.ts';
import { gatedDeltaNet } from '../../blocks/gated-delta-net.ts';
import { gatedMlp } from '../../blocks/mlp.ts';
import { alongRows, onePlusVector, outerMatrices, type TensorNames, type WeightSpec } from '../../model/weight-spec.ts';
import type { Arch, ArchModel, LayerCache } from '../arch.ts';
import { parseConfigFields, size } from '../config-fields.ts';
import { headUnits } from '../head-units.ts';
import { gatedMlpWeights } from '../mlp-weights.ts';
import { qwen35Base, textConfigOf, type LayerNames, type Qwen35Base } from './config.ts';
import { deltaNetWeights, deltaUnits, layerNormWeights } from './delta-weights.ts';
import { qwen35ConfigOfGguf } from './gguf-config.ts';
import { gatedAttention, gatedAttentionWeights } from './gated-attention.ts';
import { predictorNames, predictorOf, type FeedForward } from './predictor.ts';
import { visionTowerOf } from './vision-tower.ts';

const outerWeights = (base: Qwen35Base): WeightSpec[] => [
  ...outerMatrices(base.prefix, base),
  onePlusVector('output_norm.weight', `${base.prefix}norm.weight`, base.hiddenSize),
];

const cacheOf = (base: Qwen35Base, i: number): LayerCache => {
  const { nKeyHeads, nValueHeads, headDim, kernel } = base.delta;
  if (base.layerTypes[i] === 'full_attention') {
    const split = alongRows(headUnits(base));
    return { kind: 'attention', rowLength: base.headDim * base.nHeadsKv, headDim: base.headDim, split };
  }
  const { unit, nValueRuns } = deltaUnits(base.delta);
  return {
    kind: 'recurrent',
    convLength: (kernel - 1) * (2 * nKeyHeads + nValueHeads) * headDim,
    stateLength: headDim * headDim * nValueHeads,
    convSplit: alongRows(unit, 2 + nValueRuns),
    stateSplit: alongRows(unit, nValueRuns),
  };
};

/** A Qwen3.5 decoder, with its tower if it has one, whose layer i has the given feed-forward part. */
export const qwen35Model = (
  { config, names, base }: { readonly config: unknown; readonly names: TensorNames; readonly base: Qwen35Base },
  feedForward: (layer: LayerNames) => FeedForward,
  { nTensorsPerLayer, nExpertsUsed = 1 }: { readonly nTensorsPerLayer: number; readonly nExpertsUsed?: number },
): ArchModel => {
  const namesOf = (i: number): LayerNames => ({ from: `${base.prefix}layers.${i}`, to: `blk.${i}` });
  const parts = base.layerTypes.map((_, i) => feedForward(namesOf(i)));
  const predictor = predictorOf(base, names, feedForward(predictorNames(base)));
  const isFull = (i: number): boolean => base.layerTypes[i] === 'full_attention';
  const layers = parts.map((part, i): DecoderLayer => ({
    mixerNorm: `blk.${i}.attn_norm.weight`,
    feedForwardNorm: `blk.${i}.post_attention_norm.weight`,
    mix: (build, x, batch, cache) =>
      isFull(i)
        ? gatedAttention(build, x, batch, cache, { base, to: `blk.${i}` })
        : gatedDeltaNet(build, x, batch, cache, { prefix: `blk.${i}`, shape: base.delta }),
    feedForward: part.build,
  }));
  const mixer = (i: number): WeightSpec[] =>
    isFull(i) ? gatedAttentionWeights(base, namesOf(i)) : deltaNetWeights(base, namesOf(i));
  return {
    hiddenSize: base.hiddenSize,
    nVocab: base.nVocab,
    contextMax: base.contextMax,
    positionAxes: 4,
    caches: layers.map((_, i) => cacheOf(base, i)),
    weights: [
      ...outerWeights(base),
      ...parts.flatMap((part, i) => [...layerNormWeights(base, namesOf(i)), ...mixer(i), ...part.weights]),
    ],
    summedLength: base.hiddenSize * nExpertsUsed,
    nTensorsMax: 64 + base.nLayers * nTensorsPerLayer,
    nTensorsPerRow: 8 + base.nLayers * 16,
    buildText: (build, batch) => decoder(build, batch, { layers, normEps: base.normEps, follow: predictor?.follow }),
    buildHead: (build, hidden) => languageHead(build, hidden),
    predictor,
    vision: visionTowerOf(config, names, base.hiddenSize),
  };
};

export const qwen35: Arch = {
  modelTypes: ['qwen3_5', 'qwen3_5_text'],
  gguf: { architecture: 'qwen35', configOf: qwen35ConfigOfGguf },
  configure: (config, names) => {
    const base = qwen35Base(config, names);
    const schema = z.looseObject({ intermediate_size: size });
    const { intermediate_size: ffSize } = parseConfigFields(schema, textConfigOf(config));
    const dense = ({ from, to }: LayerNames): FeedForward => {
      const { hiddenSize } = base;
      const weights = gatedMlpWeights(`${from}.mlp`, `${to}.ffn`, { hiddenSize, ffSize });
      const build: DecoderLayer['feedForward'] = (graph, x) => gatedMlp(graph, x, `${to}.ffn`);
      return { weights, build };
    };
    return qwen35Model({ config, names, base }, dense, { nTensorsPerLayer: 80 });
  },
};
