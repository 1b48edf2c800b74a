/** One chunk of a prompt through the model, with images or without: the same for requests and for jobs by hand. */
import { CortexError } from '@cortex/core';
import type { DeviceModel, ForwardOutput, ModelSequence } from '../model/device-model.ts';
import type { PromptImages } from './prompt-images.ts';

export const forwardChunk = (
  model: DeviceModel,
  sequence: ModelSequence,
  ids: Int32Array,
  offset: number,
  images: PromptImages | null,
  output: ForwardOutput,
): Float32Array => {
  if (images === null) return model.forward(sequence, ids, offset, output);
  if (model.imageTokenId === null) throw new CortexError('vision_unsupported', 'this model has no vision tower');
  return model.forwardWithVision(sequence, ids, offset, images.prompt, model.imageTokenId, output);
};
