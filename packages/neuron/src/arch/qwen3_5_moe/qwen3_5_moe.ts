/** Qwen3.5 and 3.6 with routed experts and a shared one (Hugging Face `models/qwen3_5_moe/modeling_qwen3_5_moe.py`). */
import { z } from 'zod';
import type { DecoderLayer } from '../../blocks/decoder.ts';
import { mixtureOfExperts } from '../../blocks/mixture-of-experts.ts';
import { matrix } from '../../model/weight-spec.ts';
import type { Arch } from '../arch.ts';
import { badConfig, count, parseConfigFields, size } from '../config-fields.ts';
import { expertWeights } from '../experts.ts';
import { qwen35Base, textConfigOf, type LayerNames } from '../qwen3_5/config.ts';
import { qwen35ConfigOfGguf } from '../qwen3_5/gguf-config.ts';
import type { FeedForward } from '../qwen3_5/predictor.ts';
import { qwen35Model } from '../qwen3_5/qwen3_5.ts';

const schema = z.looseObject({
  num_experts: count.max(4096).nullish(),
  num_local_experts: count.max(4096).nullish(),
  num_experts_per_tok: count.max(4096),
  moe_intermediate_size: size,
  shared_expert_intermediate_size: size,
});

export const qwen35Moe: Arch = {
  modelTypes: ['qwen3_5_moe', 'qwen3_5_moe_text'],
  gguf: { architecture: 'qwen35moe', configOf: qwen35ConfigOfGguf },
  configure: (config, names) => {
    const base = qwen35Base(config, names);
    const raw = parseConfigFields(schema, textConfigOf(config));
    const nExperts = raw.num_experts ?? raw.num_local_experts;
    if (nExperts === null || nExperts === undefined) throw badConfig('num_experts is missing');
    const nUsed = raw.num_experts_per_tok;
    if (nUsed > nExperts) throw badConfig(`${nUsed} of ${nExperts} experts per token`);
    const { hiddenSize } = base;
    const sharedSize = raw.shared_expert_intermediate_size;
    const shape = { hiddenSize, ffSize: raw.moe_intermediate_size, nExperts };
    const mixture = { nExperts, nUsed, normalise: true, hasShared: true };
    const routed = (layer: LayerNames): FeedForward => {
      const from = `${layer.from}.mlp`;
      const to = `${layer.to}.ffn`;
      const build: DecoderLayer['feedForward'] = (graph, x) => mixtureOfExperts(graph, x, to, mixture);
      return {
        weights: [
          ...expertWeights(from, to, shape, names),
          matrix(`${to}_gate_shexp.weight`, `${from}.shared_expert.gate_proj.weight`, hiddenSize, sharedSize),
          matrix(`${to}_up_shexp.weight`, `${from}.shared_expert.up_proj.weight`, hiddenSize, sharedSize),
          matrix(`${to}_down_shexp.weight`, `${from}.shared_expert.down_proj.weight`, sharedSize, hiddenSize),
          {
            ...matrix(`${to}_gate_inp_shexp.weight`, `${from}.shared_expert_gate.weight`, hiddenSize, 1),
            role: 'exact' as const,
          },
        ],
        build,
      };
    };
    return qwen35Model({ config, names, base }, routed, { nTensorsPerLayer: 112 + 2 * nUsed, nExpertsUsed: nUsed });
  },
};
