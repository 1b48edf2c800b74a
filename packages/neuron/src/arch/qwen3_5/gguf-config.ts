/** Qwen3.5's `config.json` out of the keys of a GGUF file and of the tower's beside it. */
import { CortexError } from '@cortex/core';
import type { GgufModel } from '../../model-files/gguf-file.ts';
import { archKeys, decoderFields } from '../gguf-fields.ts';

const defaultInterval = 4;
const layersMax = 1024;

/** Named layer by layer, or by the distance of those with full attention. */
const layerTypes = (model: GgufModel, nLayers: number): readonly string[] => {
  const keys = archKeys(model);
  const recurrent = keys.numbers('attention.recurrent_layers');
  const interval = keys.number('full_attention_interval') ?? defaultInterval;
  return Array.from({ length: Math.min(nLayers, layersMax) }, (_, i) => {
    const isFull = recurrent === null ? (i + 1) % interval === 0 : recurrent[i] === 0;
    return isFull ? 'full_attention' : 'linear_attention';
  });
};

const ropeFields = (model: GgufModel, headDim: number | null): Readonly<Record<string, unknown>> => {
  const keys = archKeys(model);
  const nDims = keys.number('rope.dimension_count');
  return {
    rope_type: keys.text('rope.scaling.type') === 'yarn' ? 'yarn' : 'default',
    rope_theta: keys.number('rope.freq_base'),
    mrope_section: keys.numbers('rope.dimension_sections')?.slice(0, 3),
    ...(nDims === null || headDim === null ? {} : { partial_rotary_factor: nDims / headDim }),
  };
};

const projectorType = 'qwen3vl_merger';

/** Another model's tower may have the same tensors, as wide: what it makes of a picture means nothing to this one. */
const refuseForeignTower = ({ metadata }: NonNullable<GgufModel['tower']>): void => {
  const type = metadata.text('clip.vision.projector_type') ?? metadata.text('clip.projector_type');
  if (type === null || type === projectorType) return;
  const shown = JSON.stringify(type.slice(0, 64));
  throw new CortexError(
    'model_load_failed',
    `${metadata.file}: clip.projector_type is ${shown}, which is another model's tower; this one takes "${projectorType}"`,
  );
};

const visionFields = ({ metadata, tower }: GgufModel): Readonly<Record<string, unknown>> => {
  if (tower === null) return {};
  refuseForeignTower(tower);
  const number = (name: string): number | null => tower.metadata.number(`clip.vision.${name}`);
  const patch = number('patch_size');
  const side = (number('image_size') ?? NaN) / (patch ?? NaN);
  const deepstack = tower.metadata.numbers('clip.vision.is_deepstack_layers') ?? [];
  const tokenId = (content: string): number | null => {
    const id = metadata.indexOfText('tokenizer.ggml.tokens', content);
    return id < 0 ? null : id;
  };
  return {
    vision_config: {
      depth: number('block_count'),
      hidden_size: number('embedding_length'),
      num_heads: number('attention.head_count'),
      intermediate_size: number('feed_forward_length'),
      in_channels: 3,
      patch_size: patch,
      temporal_patch_size: 2,
      spatial_merge_size: number('spatial_merge_size') ?? 2,
      out_hidden_size: number('projection_dim'),
      num_position_embeddings: side * side,
      deepstack_visual_indexes: deepstack.flatMap((is, i) => (is === 0 ? [] : [i])),
    },
    image_token_id: tokenId('<|image_pad|>'),
    video_token_id: tokenId('<|video_pad|>'),
    vision_start_token_id: tokenId('<|vision_start|>'),
    vision_end_token_id: tokenId('<|vision_end|>'),
  };
};

export const qwen35ConfigOfGguf = (model: GgufModel): Readonly<Record<string, unknown>> => {
  const keys = archKeys(model);
  const fields = decoderFields(model);
  const nValueHeads = keys.number('ssm.time_step_rank');
  const nValues = keys.number('ssm.inner_size');
  return {
    ...fields,
    shared_expert_intermediate_size:
      keys.number('expert_shared_feed_forward_length') ?? keys.number('expert_feed_forward_length'),
    layer_types: layerTypes(model, fields.num_hidden_layers ?? 0),
    linear_conv_kernel_dim: keys.number('ssm.conv_kernel') ?? undefined,
    linear_num_key_heads: keys.number('ssm.group_count') ?? undefined,
    linear_num_value_heads: nValueHeads ?? undefined,
    linear_key_head_dim: keys.number('ssm.state_size') ?? undefined,
    linear_value_head_dim: nValues === null || nValueHeads === null ? undefined : nValues / nValueHeads,
    rope_parameters: ropeFields(model, fields.head_dim),
    ...visionFields(model),
  };
};
