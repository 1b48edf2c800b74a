/** How a request is sampled: what it says itself, else what the checkpoint's makers say, else OpenAI's defaults. */
import { CortexError, type CompletionRequest } from '@cortex/core';
import type { SamplingDefaults } from '../chat/generation-config.ts';
import type { SamplingParams } from '../sampling/params.ts';

type SamplingFields = Pick<
  CompletionRequest,
  | 'temperature'
  | 'top_p'
  | 'top_k'
  | 'min_p'
  | 'presence_penalty'
  | 'frequency_penalty'
  | 'repetition_penalty'
  | 'logit_bias'
  | 'seed'
  | 'n'
>;

const logitBias = (bias: SamplingFields['logit_bias'], nTokens: number): SamplingParams['logitBias'] =>
  Object.entries(bias ?? {}).map(([key, value]) => {
    const id = Number(key);
    if (id < nTokens) return [id, value] as const;
    throw new CortexError('invalid_request', `logit_bias: the model has no token ${key}, only 0 to ${nTokens - 1}`, {
      param: 'logit_bias',
    });
  });

/**
 * One entry for each of the `n` choices. With a seed they differ by it, so that the same request gives the same set.
 * @param nTokens size of the vocabulary
 * @throws CortexError `invalid_request` for a biased id that is no token
 */
export const samplingOf = (
  request: SamplingFields,
  defaults: SamplingDefaults,
  nTokens: number,
): readonly SamplingParams[] => {
  const { seed } = request;
  const params = {
    temperature: request.temperature ?? defaults.temperature,
    topP: request.top_p ?? defaults.topP,
    topK: request.top_k ?? defaults.topK,
    minP: request.min_p ?? defaults.minP,
    presencePenalty: request.presence_penalty ?? 0,
    frequencyPenalty: request.frequency_penalty ?? 0,
    repetitionPenalty: request.repetition_penalty ?? defaults.repetitionPenalty,
    logitBias: logitBias(request.logit_bias, nTokens),
  };
  return Array.from({ length: request.n ?? 1 }, (_, iChoice) => ({
    ...params,
    seed: seed === null || seed === undefined ? null : seed + iChoice,
  }));
};

/** The stop strings, however they were written. */
export const stopsOf = (stop: CompletionRequest['stop']): readonly string[] =>
  stop === null || stop === undefined ? [] : [stop].flat();
