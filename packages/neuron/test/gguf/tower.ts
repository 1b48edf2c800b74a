/** For tests and benchmarks: tensors and keys of the vision tower under llama.cpp's names, the `mmproj` file. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckpointValues } from './checkpoint-values.ts';
import { list, scalar, type GgufMetadata } from './gguf-file.ts';
import { exactPlan, matrixPlan, type TensorPlan } from './tensor-plan.ts';

type Json = Readonly<Record<string, unknown>>;

const tower = (config: Json) => {
  const vision = config['vision_config'] as Json;
  const text = config['text_config'] as Json;
  const number = (key: string): number => Number(vision[key]);
  return {
    depth: number('depth'),
    hidden: number('hidden_size'),
    ff: number('intermediate_size'),
    nHeads: number('num_heads'),
    nPositions: number('num_position_embeddings'),
    patch: number('patch_size'),
    merge: number('spatial_merge_size'),
    nFrames: number('temporal_patch_size'),
    channels: number('in_channels'),
    outSize: number('out_hidden_size'),
    textHidden: Number(text['hidden_size']),
  };
};

const prefix = 'model.visual.';

const biased = (to: string, from: string, nIn: number, nOut: number): readonly TensorPlan[] => [
  matrixPlan(`${to}.weight`, `${prefix}${from}.weight`, nIn, nOut),
  exactPlan(`${to}.bias`, `${prefix}${from}.bias`, [nOut]),
];

const norm = (to: string, from: string, n: number): readonly TensorPlan[] => [
  exactPlan(`${to}.weight`, `${prefix}${from}.weight`, [n]),
  exactPlan(`${to}.bias`, `${prefix}${from}.bias`, [n]),
];

/** q, k and v from the fused projection, as older converters write them. */
const splitAttention = (to: string, from: string, hidden: number): readonly TensorPlan[] =>
  ['attn_q', 'attn_k', 'attn_v'].flatMap((name, part): readonly TensorPlan[] => [
    {
      ...matrixPlan(`${to}.${name}.weight`, '', hidden, hidden),
      pieces: [{ name: `${prefix}${from}.weight`, first: part * hidden * hidden, n: hidden * hidden }],
    },
    {
      ...exactPlan(`${to}.${name}.bias`, '', [hidden]),
      pieces: [{ name: `${prefix}${from}.bias`, first: part * hidden, n: hidden }],
    },
  ]);

/** The frames of one kernel [out, channel, frame, y, x] as kernels of their own. */
const patchPlans = (config: Json): readonly TensorPlan[] => {
  const { hidden, channels, nFrames, patch } = tower(config);
  const area = patch * patch;
  return Array.from({ length: nFrames }, (_, frame) => ({
    ...exactPlan(
      frame === 0 ? 'v.patch_embd.weight' : `v.patch_embd.weight.${frame}`,
      `${prefix}patch_embed.proj.weight`,
      [patch, patch, channels, hidden],
    ),
    map: (values: Float32Array) => {
      const slice = new Float32Array(values.length / nFrames);
      for (let i = 0; i < hidden * channels; i++) {
        const from = (i * nFrames + frame) * area;
        slice.set(values.subarray(from, from + area), i * area);
      }
      return slice;
    },
  }));
};

export const towerPlans = (
  config: Json,
  checkpoint: CheckpointValues,
  attention: 'fused' | 'split',
): readonly TensorPlan[] => {
  const { depth, hidden, ff, nPositions, merge, outSize } = tower(config);
  if (!checkpoint.has(`${prefix}pos_embed.weight`)) throw new Error('the checkpoint has no tower');
  const merged = hidden * merge ** 2;
  return [
    ...patchPlans(config),
    exactPlan('v.patch_embd.bias', `${prefix}patch_embed.proj.bias`, [hidden]),
    exactPlan('v.position_embd.weight', `${prefix}pos_embed.weight`, [hidden, nPositions]),
    ...Array.from({ length: depth }, (_, i) => [
      ...norm(`v.blk.${i}.ln1`, `blocks.${i}.norm1`, hidden),
      ...(attention === 'fused'
        ? biased(`v.blk.${i}.attn_qkv`, `blocks.${i}.attn.qkv`, hidden, 3 * hidden)
        : splitAttention(`v.blk.${i}`, `blocks.${i}.attn.qkv`, hidden)),
      ...biased(`v.blk.${i}.attn_out`, `blocks.${i}.attn.proj`, hidden, hidden),
      ...norm(`v.blk.${i}.ln2`, `blocks.${i}.norm2`, hidden),
      ...biased(`v.blk.${i}.ffn_up`, `blocks.${i}.mlp.linear_fc1`, hidden, ff),
      ...biased(`v.blk.${i}.ffn_down`, `blocks.${i}.mlp.linear_fc2`, ff, hidden),
    ]).flat(),
    ...norm('v.post_ln', 'merger.norm', hidden),
    ...biased('mm.0', 'merger.linear_fc1', merged, merged),
    ...biased('mm.2', 'merger.linear_fc2', merged, outSize),
  ];
};

interface Preprocessor {
  readonly image_mean: readonly number[];
  readonly image_std: readonly number[];
  readonly size?: { readonly shortest_edge: number; readonly longest_edge: number };
}

export const towerKeys = (dir: string, config: Json, projector = 'qwen3vl_merger'): GgufMetadata => {
  const sizes = tower(config);
  const file = join(dir, 'preprocessor_config.json');
  if (!existsSync(file)) throw new Error(`${dir} has no preprocessor_config.json`);
  const preprocessor = JSON.parse(readFileSync(file, 'utf8')) as Preprocessor;
  const isDeepstackLayer = Array.from({ length: sizes.depth }, () => false);
  return {
    'general.architecture': scalar('string', 'clip'),
    'general.type': scalar('string', 'mmproj'),
    'clip.has_vision_encoder': scalar('bool', true),
    'clip.projector_type': scalar('string', projector),
    'clip.use_gelu': scalar('bool', true),
    'clip.vision.image_size': scalar('u32', Math.sqrt(sizes.nPositions) * sizes.patch),
    'clip.vision.patch_size': scalar('u32', sizes.patch),
    'clip.vision.embedding_length': scalar('u32', sizes.hidden),
    'clip.vision.feed_forward_length': scalar('u32', sizes.ff),
    'clip.vision.block_count': scalar('u32', sizes.depth),
    'clip.vision.projection_dim': scalar('u32', sizes.textHidden),
    'clip.vision.attention.head_count': scalar('u32', sizes.nHeads),
    'clip.vision.attention.layer_norm_epsilon': scalar('f32', 1e-6),
    'clip.vision.spatial_merge_size': scalar('u32', sizes.merge),
    'clip.vision.image_mean': list('f32', preprocessor.image_mean),
    'clip.vision.image_std': list('f32', preprocessor.image_std),
    'clip.vision.is_deepstack_layers': list('bool', isDeepstackLayer),
    ...(preprocessor.size === undefined
      ? {}
      : {
          'clip.vision.image_min_pixels': scalar('u32', preprocessor.size.shortest_edge),
          'clip.vision.image_max_pixels': scalar('u32', preprocessor.size.longest_edge),
        }),
  };
};
