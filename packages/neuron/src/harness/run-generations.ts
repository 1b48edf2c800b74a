/**
 * Runs a request's generations on their model's device, all at once, and tells what comes of them as one stream of
 * completion events: `accepted` first, then the answers, the usage last.
 */
import { CortexError, type CompletionEvent, type Usage } from '@cortex/core';
import type { Generation } from '../device/contract.ts';
import type { GenerateEvent, GenerateSpec } from '../device/protocol.ts';
import type { Place } from './admission.ts';
import type { ChoiceReader } from './choice-reader.ts';
import { requireWorkingDevice, type LoadedModel } from './loaded-model.ts';
import { merged } from './merged-events.ts';

export interface PlannedGeneration {
  readonly spec: GenerateSpec;
  /** One for each of the spec's choices. */
  readonly readers: readonly ChoiceReader[];
}

export interface RunOptions {
  readonly place: Place;
  readonly signal: AbortSignal;
  /** Of all prompts. Null: the request can have none. */
  readonly nImageTokens: number | null;
  /** Whether the model thinks, and its usage tells how much. */
  readonly countReasoning: boolean;
  /** Sent before anything is generated. */
  readonly preface?: readonly CompletionEvent[];
}

type Done = Extract<GenerateEvent, { kind: 'done' }>;

interface OfGeneration {
  readonly planned: PlannedGeneration;
  readonly generation: Generation;
  readonly event: GenerateEvent;
}

async function* tagged(planned: PlannedGeneration, generation: Generation): AsyncGenerator<OfGeneration, void> {
  let isDone = false;
  for await (const event of generation.events) {
    isDone ||= event.kind === 'done';
    yield { planned, generation, event };
  }
  if (!isDone) throw new CortexError('internal_error', 'the device ended a generation before it was done');
}

const readerOf = ({ readers }: PlannedGeneration, choice: number): ChoiceReader => {
  const reader = readers[choice];
  if (reader === undefined) throw new CortexError('internal_error', `the device speaks of choice ${choice}`);
  return reader;
};

const nPromptTokens = (generations: readonly PlannedGeneration[]): number =>
  generations.reduce((sum, { spec }) => sum + spec.promptIds.length, 0);

const sumOf = (done: readonly Done[], count: 'nCachedTokens' | 'nDrafted' | 'nDraftedRight'): number =>
  done.reduce((sum, event) => sum + event[count], 0);

const usageOf = (generations: readonly PlannedGeneration[], done: readonly Done[], options: RunOptions): Usage => {
  const promptTokens = nPromptTokens(generations);
  const readers = generations.flatMap((planned) => planned.readers);
  const completionTokens = readers.reduce((sum, { nTokens }) => sum + nTokens, 0);
  const [nDrafted, nRight] = [sumOf(done, 'nDrafted'), sumOf(done, 'nDraftedRight')];
  const details = {
    ...(options.countReasoning
      ? { reasoning_tokens: readers.reduce((sum, { nReasoning }) => sum + nReasoning, 0) }
      : {}),
    ...(nDrafted > 0 ? { accepted_prediction_tokens: nRight, rejected_prediction_tokens: nDrafted - nRight } : {}),
  };
  const { nImageTokens } = options;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: {
      cached_tokens: sumOf(done, 'nCachedTokens'),
      ...(nImageTokens === null ? {} : { image_tokens: nImageTokens }),
    },
    ...(Object.keys(details).length > 0 ? { completion_tokens_details: details } : {}),
  };
};

/** @throws CortexError `device_poisoned` before the first event or after it; the signal's reason. */
export async function* runGenerations(
  model: LoadedModel,
  generations: readonly PlannedGeneration[],
  options: RunOptions,
): AsyncGenerator<CompletionEvent, void> {
  const { place, signal } = options;
  signal.throwIfAborted();
  requireWorkingDevice(model);
  yield { kind: 'accepted', promptTokens: nPromptTokens(generations) };
  yield* options.preface ?? [];
  const end = new AbortController();
  const stop = AbortSignal.any([signal, end.signal, place.deadline]);
  // Every choice computes the prompt for itself.
  const toPrefill = generations.reduce((sum, { spec }) => sum + spec.promptIds.length * spec.choices.length, 0);
  const prefilled = new Map<PlannedGeneration, number>();
  const done: Done[] = [];
  try {
    const sources = generations.map((planned) => tagged(planned, model.device.generate(planned.spec, stop)));
    for await (const { planned, generation, event } of merged(sources)) {
      switch (event.kind) {
        case 'admitted':
          place.admitted();
          break;
        case 'prefill':
          prefilled.set(planned, event.done);
          yield { kind: 'prefill', done: [...prefilled.values()].reduce((sum, n) => sum + n, 0), total: toPrefill };
          break;
        case 'token': {
          const { events, stopped } = readerOf(planned, event.choice).push(event.token);
          if (stopped) generation.stopChoice(event.choice);
          yield* events;
          break;
        }
        case 'hidden':
          throw new CortexError('internal_error', 'the device gave a hidden state for an answer');
        case 'finished':
          yield* readerOf(planned, event.choice).finish(event.cause);
          break;
        case 'done':
          done.push(event);
          break;
      }
    }
  } finally {
    // Whatever ended this: the device must not go on with the others.
    end.abort();
  }
  yield { kind: 'usage', usage: usageOf(generations, done, options) };
}
