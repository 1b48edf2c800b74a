/** Embeddings of texts: the final hidden state of each text's last token, at length 1. */
import { CortexError, type EmbeddingsRequest } from '@cortex/core';
import type { Caller } from '../device/fair-order.ts';
import type { GenerateSpec } from '../device/protocol.ts';
import type { Place } from './admission.ts';
import { checkPromptFits } from './context-room.ts';
import { contextMaxOf, type LoadedModel } from './loaded-model.ts';
import type { Lease } from './model-registry.ts';
import { samplingOf } from './request-sampling.ts';
import { textInputs, textToIds } from './text-input.ts';

/** Scaled to L2 length 1, in place; a zero vector stays. */
const normalised = (vector: Float32Array): Float32Array => {
  const length = Math.hypot(...vector);
  return length === 0 ? vector : vector.map((value) => value / length);
};

/** @throws CortexError `unsupported_parameter` where the model was not trained to have its vectors cut. */
const vectorLength = ({ dimensions }: EmbeddingsRequest, { known, loaded }: LoadedModel): number => {
  if (dimensions === null || dimensions === undefined || dimensions === loaded.hiddenSize) return loaded.hiddenSize;
  const refuse = (why: string): CortexError =>
    new CortexError('unsupported_parameter', `dimensions ${dimensions} is not supported by ${known.id}: ${why}`, {
      param: 'dimensions',
      facts: { model_id: known.id },
    });
  const { embeddingLengths: lengths } = known.facts;
  if (lengths === null) throw refuse(`its vectors have ${loaded.hiddenSize} and cannot be cut`);
  if (dimensions > loaded.hiddenSize) throw refuse(`its vectors have ${loaded.hiddenSize}`);
  if (lengths === 'any' || lengths.includes(dimensions)) return dimensions;
  throw refuse(`it has ${lengths.join(', ')}`);
};

/** One text's vector: a request of its own to the device, in its turn among the others. */
const hiddenState = async (
  { device, known, side }: LoadedModel,
  promptIds: Int32Array,
  { place, signal, caller }: { readonly place: Place; readonly signal: AbortSignal; readonly caller: Caller },
): Promise<Float32Array> => {
  const spec: GenerateSpec = {
    modelId: known.id,
    caller,
    promptIds,
    vision: null,
    choices: samplingOf({}, side.defaults, 0).map((sampling) => ({ sampling })),
    constraint: null,
    eosIds: [],
    tokensMax: 0,
    output: 'hidden',
    nTopLogprobs: null,
  };
  let vector: Float32Array | null = null;
  for await (const event of device.generate(spec, AbortSignal.any([signal, place.deadline])).events) {
    if (event.kind === 'admitted') place.admitted();
    if (event.kind === 'hidden') ({ vector } = event);
  }
  if (vector === null) throw new CortexError('internal_error', 'the device gave no hidden state');
  return vector;
};

/** @throws CortexError `context_length_exceeded`, `unsupported_parameter`, `rate_limit_exceeded`, `device_poisoned`. */
export const runEmbed = async (
  request: EmbeddingsRequest,
  { model, signal }: Lease,
  caller: Caller,
): Promise<{ readonly vectors: readonly Float32Array[]; readonly promptTokens: number }> => {
  const length = vectorLength(request, model);
  const texts: Int32Array[] = [];
  for (const input of textInputs(request.input)) {
    const ids = await textToIds(input, model.side, { parseSpecial: false, param: 'input', signal });
    checkPromptFits(ids.length, { contextMax: contextMaxOf(model), nAnswerMin: 0 }, 'input');
    texts.push(ids);
  }
  const place = model.admission.enter(1, caller.client);
  try {
    const vectors: Float32Array[] = [];
    for (const ids of texts) {
      const hidden = await hiddenState(model, ids, { place, signal, caller });
      vectors.push(normalised(hidden.subarray(0, length)));
    }
    return { vectors, promptTokens: texts.reduce((sum, ids) => sum + ids.length, 0) };
  } finally {
    place.leave();
  }
};
