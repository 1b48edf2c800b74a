/** Embeddings of texts: the final hidden state of each text's last token, at length 1. */
import { setTimeout as delay } from 'node:timers/promises';
import { CortexError, type EmbeddingsRequest } from '@cortex/core';
import { checkPromptFits } from './context-room.ts';
import { contextMaxOf, type LoadedModel } from './loaded-model.ts';
import type { Lease } from './model-registry.ts';
import { textInputs, textToIds } from './text-input.ts';
import { untilAborted } from './until-aborted.ts';

export interface EmbedOptions {
  readonly requestId: string;
  /** Tokens computed in one step. */
  readonly chunkMax: number;
}

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

const roomRetryMs = 20;
const roomMsMax = 60_000;

/** Sequences driven by hand have no queue on the device: who finds no room comes back. */
const withRoom = async <T>(run: () => Promise<T>, signal: AbortSignal): Promise<T> => {
  const endMs = performance.now() + roomMsMax;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await untilAborted(run(), signal);
    } catch (error) {
      const mayWait = error instanceof CortexError && error.code === 'overloaded' && performance.now() < endMs;
      if (!mayWait) throw error;
    }
    await delay(roomRetryMs, undefined, { signal });
  }
};

/** One text's vector, in a sequence of its own that is gone afterwards. */
const hiddenState = async (
  model: LoadedModel,
  ids: Int32Array,
  sequence: string,
  chunkMax: number,
  signal: AbortSignal,
): Promise<Float32Array> => {
  const { device, known } = model;
  const base = { modelId: known.id, sequence } as const;
  let vector = new Float32Array(0);
  try {
    for (let offset = 0; offset < ids.length; offset += chunkMax) {
      const chunk = ids.slice(offset, offset + chunkMax);
      const output = offset + chunkMax >= ids.length ? 'hidden' : 'none';
      const job = {
        kind: 'prefill',
        ...base,
        nTokensMax: ids.length,
        ids: chunk,
        offset,
        vision: null,
        output,
      } as const;
      vector = Float32Array.from(await withRoom(() => device.run(job), signal));
    }
  } finally {
    // On a device that has just failed there is nothing to reset.
    await device.run({ kind: 'reset', ...base }).catch(() => {});
  }
  return vector;
};

/** @throws CortexError `context_length_exceeded`, `unsupported_parameter`, `rate_limit_exceeded`, `device_poisoned`. */
export const runEmbed = async (
  request: EmbeddingsRequest,
  { model, signal }: Lease,
  { requestId, chunkMax }: EmbedOptions,
): Promise<{ readonly vectors: readonly Float32Array[]; readonly promptTokens: number }> => {
  const length = vectorLength(request, model);
  const texts: Int32Array[] = [];
  for (const input of textInputs(request.input)) {
    const ids = await textToIds(input, model.side, { parseSpecial: false, param: 'input', signal });
    checkPromptFits(ids.length, { contextMax: contextMaxOf(model), nAnswerMin: 0 }, 'input');
    texts.push(ids);
  }
  const place = model.admission.enter(1);
  try {
    const vectors: Float32Array[] = [];
    for (const [i, ids] of texts.entries()) {
      const hidden = await hiddenState(model, ids, `embed ${requestId} ${i}`, chunkMax, signal);
      vectors.push(normalised(hidden.subarray(0, length)));
      place.admitted();
    }
    return { vectors, promptTokens: texts.reduce((sum, ids) => sum + ids.length, 0) };
  } finally {
    place.leave();
  }
};
