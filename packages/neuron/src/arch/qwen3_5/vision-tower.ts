/** The vision tower of Qwen3.5 and 3.6 (Hugging Face `Qwen3_5VisionModel`): config and weights. */
import { z } from 'zod';
import { visionTransformer } from '../../blocks/vision-transformer.ts';
import { matrix, vector, type MapRow, type TensorNames, type WeightSpec } from '../../model/weight-spec.ts';
import type { VisionTower } from '../arch.ts';
import { badConfig, count, parseConfigFields, refuseUnless, size } from '../config-fields.ts';

const towerSchema = z.looseObject({
  depth: count.max(1024),
  hidden_size: size,
  num_heads: size,
  intermediate_size: size,
  in_channels: z.int().min(1).max(16),
  patch_size: z.int().min(1).max(256),
  temporal_patch_size: z.int().min(1).max(16),
  spatial_merge_size: z.int().min(1).max(16),
  out_hidden_size: size,
  num_position_embeddings: count,
  hidden_act: z.string().default('gelu_pytorch_tanh'),
  deepstack_visual_indexes: z.array(z.int()).nullish(),
  rope_parameters: z.looseObject({ rope_theta: z.number().positive().nullish() }).nullish(),
});

const schema = z.looseObject({ vision_config: towerSchema.nullish(), image_token_id: z.int().min(0).nullish() });

type Tower = z.infer<typeof towerSchema>;

const defaultTheta = 10_000;

/** The frames of a still image are equal: the patch kernel's frames are summed, [c·t·y·x] → [c·y·x]. */
const foldFrames =
  ({ in_channels: c, temporal_patch_size: t, patch_size: p }: Tower): MapRow =>
  (source, target) => {
    const plane = p * p;
    target.fill(0);
    for (let i = 0; i < c * t; i++) {
      const to = Math.floor(i / t) * plane;
      for (let j = 0; j < plane; j++) target[to + j] = (target[to + j] ?? 0) + (source[i * plane + j] ?? 0);
    }
  };

const linearWeights = (name: string, source: string, nIn: number, nOut: number): WeightSpec[] => [
  { ...matrix(`${name}.weight`, `${source}.weight`, nIn, nOut), role: 'tower' },
  vector(`${name}.bias`, `${source}.bias`, nOut),
];

/** Queries, keys and values are one tensor, or, in some GGUF files, three. */
const qkvWeights = (block: string, source: string, hidden: number): WeightSpec[] =>
  linearWeights(`${block}.attn_qkv`, source, hidden, 3 * hidden).map((spec) => ({
    ...spec,
    gguf: [
      {
        parts: ['q', 'k', 'v'].map((each) => ({
          name: spec.name.replace('attn_qkv', `attn_${each}`),
          shape: spec.ne.length === 1 ? [hidden] : [hidden, hidden],
        })),
      },
    ],
  }));

const normWeights = (name: string, source: string, n: number): WeightSpec[] => [
  vector(`${name}.weight`, `${source}.weight`, n),
  vector(`${name}.bias`, `${source}.bias`, n),
];

const blockWeights = (from: string, { hidden_size: hidden, intermediate_size: ff }: Tower, i: number): WeightSpec[] => {
  const source = `${from}blocks.${i}`;
  const to = `v.blk.${i}`;
  return [
    ...normWeights(`${to}.ln1`, `${source}.norm1`, hidden),
    ...qkvWeights(to, `${source}.attn.qkv`, hidden),
    ...linearWeights(`${to}.attn_out`, `${source}.attn.proj`, hidden, hidden),
    ...normWeights(`${to}.ln2`, `${source}.norm2`, hidden),
    ...linearWeights(`${to}.ffn_up`, `${source}.mlp.linear_fc1`, hidden, ff),
    ...linearWeights(`${to}.ffn_down`, `${source}.mlp.linear_fc2`, ff, hidden),
  ];
};

const towerWeights = (from: string, tower: Tower): WeightSpec[] => {
  const { hidden_size: hidden, patch_size: p, in_channels: c, temporal_patch_size: t, spatial_merge_size: m } = tower;
  const merged = hidden * m * m;
  return [
    {
      name: 'v.patch_embd.weight',
      ne: [c * p * p, hidden],
      role: 'exact',
      parts: [{ name: `${from}patch_embed.proj.weight`, shape: [hidden, c, t, p, p] }],
      sourceRow: c * t * p * p,
      mapRow: foldFrames(tower),
      gguf: [
        {
          parts: Array.from({ length: t }, (_, frame) => ({
            name: frame === 0 ? 'v.patch_embd.weight' : `v.patch_embd.weight.${frame}`,
            shape: [hidden, c, p, p],
          })),
          sourceRow: c * p * p,
          isSum: true,
        },
      ],
    },
    vector('v.patch_embd.bias', `${from}patch_embed.proj.bias`, hidden),
    ...Array.from({ length: tower.depth }, (_, i) => blockWeights(from, tower, i)).flat(),
    ...normWeights('v.post_ln', `${from}merger.norm`, hidden),
    ...linearWeights('mm.0', `${from}merger.linear_fc1`, merged, merged),
    ...linearWeights('mm.2', `${from}merger.linear_fc2`, merged, tower.out_hidden_size),
  ];
};

const checked = (tower: Tower, textHidden: number): { positionSide: number } => {
  refuseUnless((tower.deepstack_visual_indexes ?? []).length === 0, 'deepstack towers are not built here');
  refuseUnless(tower.hidden_act === 'gelu_pytorch_tanh', `vision hidden_act "${tower.hidden_act}" is not built here`);
  refuseUnless(tower.hidden_size % tower.num_heads === 0, 'the vision hidden_size is no multiple of its heads');
  refuseUnless((tower.hidden_size / tower.num_heads) % 4 === 0, 'a vision head size is no multiple of 4');
  refuseUnless(
    tower.out_hidden_size === textHidden,
    `the tower's out_hidden_size is ${tower.out_hidden_size}, the language model's hidden_size ${textHidden}`,
  );
  const positionSide = Math.sqrt(tower.num_position_embeddings);
  refuseUnless(Number.isInteger(positionSide), 'num_position_embeddings is no square');
  return { positionSide };
};

/** Null when the config or the checkpoint has no tower. @throws CortexError `model_load_failed` for a broken one. */
export const visionTowerOf = (config: unknown, names: TensorNames, textHidden: number): VisionTower | null => {
  const { vision_config: tower, image_token_id: imageTokenId } = parseConfigFields(schema, config);
  const from = ['model.visual.', 'visual.'].find((prefix) => names.has(`${prefix}patch_embed.proj.weight`)) ?? '';
  const hasTower = from !== '' || names.has('v.patch_embd.weight');
  if (tower === null || tower === undefined || !hasTower) return null;
  if (imageTokenId === null || imageTokenId === undefined) throw badConfig('image_token_id is missing');
  const { positionSide } = checked(tower, textHidden);
  const { hidden_size: hiddenSize, depth, num_heads: nHeads, spatial_merge_size: mergeSize } = tower;
  const shape = { depth, hiddenSize, nHeads, mergeSize, ropeTheta: tower.rope_parameters?.rope_theta ?? defaultTheta };
  return {
    imageTokenId,
    patchLength: tower.in_channels * tower.patch_size ** 2,
    hiddenSize,
    mergeSize,
    positionSide,
    weights: towerWeights(from, tower),
    positionTable: {
      name: 'v.position_embd.weight',
      ne: [hiddenSize, tower.num_position_embeddings],
      role: 'exact',
      parts: [{ name: `${from}pos_embed.weight`, shape: [tower.num_position_embeddings, hiddenSize] }],
    },
    nTensorsMax: 64 + depth * 48,
    buildTower: (build, inputs) => visionTransformer(build, inputs, shape),
  };
};
