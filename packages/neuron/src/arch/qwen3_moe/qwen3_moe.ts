/** Qwen3 with routed experts (Hugging Face `models/qwen3_moe/modeling_qwen3_moe.py`). */
import { z } from 'zod';
import { gatedMlp } from '../../blocks/mlp.ts';
import { mixtureOfExperts } from '../../blocks/mixture-of-experts.ts';
import type { DecoderLayer } from '../../blocks/decoder.ts';
import type { Arch } from '../arch.ts';
import { badConfig, count, parseConfigFields, size } from '../config-fields.ts';
import { expertWeights } from '../experts.ts';
import { qwen3Base, qwen3ConfigOfGguf } from '../qwen3/config.ts';
import { mlpWeights, qwen3Model } from '../qwen3/qwen3.ts';

const schema = z.looseObject({
  num_experts: count.max(4096).nullish(),
  num_local_experts: count.max(4096).nullish(),
  num_experts_per_tok: count.max(4096),
  moe_intermediate_size: size,
  norm_topk_prob: z.boolean().default(false),
  decoder_sparse_step: z.int().min(1).default(1),
  mlp_only_layers: z.array(z.int().min(0)).default([]),
});

export const qwen3Moe: Arch = {
  modelTypes: ['qwen3_moe'],
  // The files do not say how the chosen experts' weights are normalised: those of this architecture always are.
  gguf: { architecture: 'qwen3moe', configOf: (model) => ({ ...qwen3ConfigOfGguf(model), norm_topk_prob: true }) },
  configure: (config, names) => {
    const base = qwen3Base(config, names);
    const raw = parseConfigFields(schema, config);
    const nExperts = raw.num_experts ?? raw.num_local_experts;
    if (nExperts === null || nExperts === undefined) throw badConfig('num_experts is missing');
    const nUsed = raw.num_experts_per_tok;
    if (nUsed > nExperts) throw badConfig(`${nUsed} of ${nExperts} experts per token`);
    const isDense = (i: number): boolean => raw.mlp_only_layers.includes(i) || (i + 1) % raw.decoder_sparse_step !== 0;
    const mixture = { nExperts, nUsed, normalise: raw.norm_topk_prob, hasShared: false };
    const shape = { hiddenSize: base.hiddenSize, ffSize: raw.moe_intermediate_size, nExperts };
    const feedForward = (i: number) => {
      const to = `blk.${i}.ffn`;
      const dense: DecoderLayer['feedForward'] = (build, x) => gatedMlp(build, x, to);
      const routed: DecoderLayer['feedForward'] = (build, x) => mixtureOfExperts(build, x, to, mixture);
      return isDense(i)
        ? { weights: mlpWeights(base, i), build: dense }
        : { weights: expertWeights(`${base.prefix}layers.${i}.mlp`, to, shape, names), build: routed };
    };
    return qwen3Model(base, feedForward, { nTensorsPerLayer: 64 + 2 * nUsed, nExpertsUsed: nUsed });
  },
};
