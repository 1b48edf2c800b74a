/** Qwen3, dense (Hugging Face `models/qwen3/modeling_qwen3.py`). */
import { decoder, languageHead, type DecoderLayer } from '../../blocks/decoder.ts';
import { gatedMlp } from '../../blocks/mlp.ts';
import { alongRows, outerMatrices, vector, type WeightSpec } from '../../model/weight-spec.ts';
import type { Arch, ArchModel } from '../arch.ts';
import { headUnits } from '../head-units.ts';
import { gatedMlpWeights } from '../mlp-weights.ts';
import { attention, attentionWeights } from './attention.ts';
import { qwen3Base, qwen3ConfigOfGguf, type Qwen3Base } from './config.ts';

export const mlpWeights = ({ prefix, hiddenSize, ffSize }: Qwen3Base, i: number): WeightSpec[] =>
  gatedMlpWeights(`${prefix}layers.${i}.mlp`, `blk.${i}.ffn`, { hiddenSize, ffSize });

/** Embedding, head and final norm. */
const outerWeights = (base: Qwen3Base): WeightSpec[] => [
  ...outerMatrices(base.prefix, base),
  vector('output_norm.weight', `${base.prefix}norm.weight`, base.hiddenSize),
];

/** A Qwen3 decoder whose layer i has the given feed-forward part. */
export const qwen3Model = (
  base: Qwen3Base,
  feedForward: (i: number) => { readonly weights: WeightSpec[]; readonly build: DecoderLayer['feedForward'] },
  { nTensorsPerLayer, nExpertsUsed = 1 }: { readonly nTensorsPerLayer: number; readonly nExpertsUsed?: number },
): ArchModel => {
  const parts = Array.from({ length: base.nLayers }, (_, i) => feedForward(i));
  const layers = parts.map((part, i): DecoderLayer => ({
    mixerNorm: `blk.${i}.attn_norm.weight`,
    feedForwardNorm: `blk.${i}.ffn_norm.weight`,
    mix: (build, x, batch, cache) => attention(build, x, batch, cache, { base, i }),
    feedForward: part.build,
  }));
  return {
    hiddenSize: base.hiddenSize,
    nVocab: base.nVocab,
    contextMax: base.contextMax,
    positionAxes: 1,
    caches: layers.map(() => ({
      kind: 'attention',
      rowLength: base.headDim * base.nHeadsKv,
      headDim: base.headDim,
      split: alongRows(headUnits(base)),
    })),
    weights: [...outerWeights(base), ...parts.flatMap((part, i) => [...attentionWeights(base, i), ...part.weights])],
    summedLength: base.hiddenSize * nExpertsUsed,
    nTensorsMax: 32 + base.nLayers * nTensorsPerLayer,
    nTensorsPerRow: 4 + base.nLayers * 12,
    buildText: (build, batch) => decoder(build, batch, { layers, normEps: base.normEps }),
    buildHead: (build, hidden) => languageHead(build, hidden),
    predictor: null,
    vision: null,
  };
};

export const qwen3: Arch = {
  modelTypes: ['qwen3'],
  gguf: { architecture: 'qwen3', configOf: qwen3ConfigOfGguf },
  configure: (config, names) => {
    const base = qwen3Base(config, names);
    const dense = (i: number) => ({
      weights: mlpWeights(base, i),
      build: ((build, x) => gatedMlp(build, x, `blk.${i}.ffn`)) satisfies DecoderLayer['feedForward'],
    });
    return qwen3Model(base, dense, { nTensorsPerLayer: 48 });
  },
};
