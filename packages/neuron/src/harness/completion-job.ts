/** A text completion on a loaded model: each prompt as it stands, without a template, `n` choices for each. */
import { CortexError, type CompletionEvent, type CompletionRequest } from '@cortex/core';
import type { Caller } from '../device/fair-order.ts';
import { ChoiceReader } from './choice-reader.ts';
import { answerTokensMax } from './context-room.ts';
import { contextMaxOf, type LoadedModel } from './loaded-model.ts';
import type { Lease } from './model-registry.ts';
import { samplingOf, stopsOf } from './request-sampling.ts';
import { runGenerations, type PlannedGeneration } from './run-generations.ts';
import { textInputs, textToIds, type TextInput } from './text-input.ts';

/** OpenAI's own. */
const tokensMaxDefault = 16;

const echoText = (input: TextInput, ids: Int32Array, { side }: LoadedModel): string =>
  typeof input === 'string' ? input : side.thread.vocabulary.decode(ids, { skipSpecial: false });

/** Choices are counted on from prompt to prompt. */
const planned = (
  request: CompletionRequest,
  model: LoadedModel,
  caller: Caller,
  ids: Int32Array,
  iPrompt: number,
): PlannedGeneration => {
  const { side, known } = model;
  const choices = samplingOf(request, side.defaults, side.thread.vocabulary.nTokens);
  const asked = request.max_tokens ?? tokensMaxDefault;
  const readers = choices.map(
    (_, i) =>
      new ChoiceReader({
        choice: iPrompt * choices.length + i,
        thinking: 'closed',
        toolFormat: null,
        tools: [],
        parallelToolCalls: true,
        stop: stopsOf(request.stop),
        vocabulary: side.thread.vocabulary,
        eosIds: side.eosIds,
      }),
  );
  const spec = {
    modelId: known.id,
    caller,
    promptIds: ids,
    vision: null,
    choices: choices.map((sampling) => ({ sampling })),
    constraint: null,
    eosIds: side.eosIds,
    tokensMax: answerTokensMax(ids.length, contextMaxOf(model), asked, 'prompt'),
    nTopLogprobs: request.logprobs ?? null,
  };
  return { spec, readers };
};

const refuseEchoedLogprobs = ({ echo, logprobs }: CompletionRequest): void => {
  if (echo !== true || logprobs === null || logprobs === undefined) return;
  throw new CortexError('unsupported_parameter', 'logprobs of the prompt are not supported: leave out echo', {
    param: 'echo',
  });
};

/** @throws before its first event what refuses the request; see `Harness.complete`. */
export async function* runCompletion(
  request: CompletionRequest,
  { model, signal }: Lease,
  caller: Caller,
): AsyncGenerator<CompletionEvent, void> {
  refuseEchoedLogprobs(request);
  const inputs = textInputs(request.prompt);
  const prompts: Int32Array[] = [];
  for (const input of inputs) {
    prompts.push(await textToIds(input, model.side, { parseSpecial: true, param: 'prompt', signal }));
  }
  const generations = prompts.map((ids, iPrompt) => planned(request, model, caller, ids, iPrompt));
  const preface = inputs.flatMap((input, iPrompt): CompletionEvent[] => {
    const { readers = [], spec } = generations[iPrompt] ?? {};
    if (request.echo !== true || spec === undefined) return [];
    const text = echoText(input, spec.promptIds, model);
    return readers.map(({ choice }) => ({ kind: 'text', choice, text }));
  });
  const nSequences = generations.reduce((sum, { readers }) => sum + readers.length, 0);
  const place = model.admission.enter(nSequences, caller.client);
  try {
    yield* runGenerations(model, generations, { place, signal, nImageTokens: null, countReasoning: false, preface });
  } finally {
    place.leave();
  }
}
