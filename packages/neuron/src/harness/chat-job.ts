/**
 * A chat request on a loaded model. Everything that can refuse it comes before any work of the device: images planned,
 * prompt built, pads expanded, context, constraint, queue, pixels; only then does the generation begin.
 */
import { CortexError, type ChatRequest, type CompletionEvent } from '@cortex/core';
import { expandImagePadTokens } from '../chat/image-pads.ts';
import { extractImagesFromRequest } from '../chat/image-parts.ts';
import { chatInput } from '../chat/prompt-request.ts';
import type { ThinkingStart } from '../chat/prompt.ts';
import type { TemplateInput } from '../chat/template.ts';
import type { Caller } from '../device/fair-order.ts';
import type { GenerateSpec, VisionInput } from '../device/protocol.ts';
import type { CompiledConstraint } from '../sampling/grammar/compile-constraint.ts';
import type { ThinkingBudgetSpec } from '../sampling/thinking-budget.ts';
import type { ImagePreparer } from '../vision/image-preparer.ts';
import { mropePositions } from '../vision/mrope-positions.ts';
import type { PlannedImage } from '../vision/plan-images.ts';
import { ChoiceReader } from './choice-reader.ts';
import { answerTokensMax } from './context-room.ts';
import { contextMaxOf, type LoadedModel } from './loaded-model.ts';
import type { GrammarThread } from './grammar-thread.ts';
import type { Lease } from './model-registry.ts';
import type { PromptSide } from './prompt-side.ts';
import { allowsParallelCalls, constraintOf, offeredTools } from './request-constraint.ts';
import { samplingOf, stopsOf } from './request-sampling.ts';
import { visionUnsupported } from './require-vision.ts';
import { runGenerations } from './run-generations.ts';
import { untilAborted } from './until-aborted.ts';

export interface ChatPrompt {
  /** Image pads expanded. */
  readonly ids: Int32Array;
  readonly images: readonly PlannedImage[];
  readonly thinking: ThinkingStart;
}

/**
 * The prompt of a conversation, its images measured but not yet decoded.
 * @throws CortexError `vision_unsupported`, `invalid_image`, `request_too_large`, `invalid_request`.
 */
export const buildChatPrompt = async (
  input: TemplateInput,
  imageUrls: readonly string[],
  { modelId, thread, vision }: PromptSide,
  preparer: ImagePreparer,
  signal: AbortSignal,
): Promise<ChatPrompt> => {
  // A checkpoint may name a tower that its architecture here does not have.
  if (vision === null && imageUrls.length > 0) throw visionUnsupported(modelId, null);
  const images = vision === null ? [] : await untilAborted(preparer.plan(imageUrls, vision), signal);
  const prompt = await untilAborted(thread.build(input, signal), signal);
  const nTokens = images.map(({ plan }) => plan.nTokens);
  const ids = vision === null ? prompt.ids : expandImagePadTokens(prompt.ids, vision.imageTokenId, nTokens);
  return { ids, images, thinking: prompt.thinking };
};

const compiled = async (
  request: ChatRequest,
  side: PromptSide,
  thinking: ThinkingStart,
  grammars: GrammarThread,
): Promise<CompiledConstraint | null> => {
  const spec = constraintOf(request, side.thread.template, thinking === 'open' ? side.thinkEndIds : null);
  if (spec === null) return null;
  if (side.eosIds.length > 0) return grammars.compile(spec);
  throw new CortexError('unsupported_parameter', 'this model has no token to end with: its output has no set form', {
    param: spec.kind === 'tool_call' ? 'tools' : 'response_format',
  });
};

const nTopLogprobs = ({ logprobs, top_logprobs: top }: ChatRequest): number | null => {
  if (logprobs === true) return top ?? 0;
  if ((top ?? 0) === 0) return null;
  throw new CortexError('invalid_request', 'top_logprobs needs logprobs: true', { param: 'top_logprobs' });
};

const visionInput = async (
  { ids, images }: ChatPrompt,
  { vision }: PromptSide,
  preparer: ImagePreparer,
  signal: AbortSignal,
): Promise<VisionInput | null> => {
  if (vision === null || images.length === 0) return null;
  const grids = images.map(({ plan }) => plan.mergedGrid);
  const positions = mropePositions(ids, vision.imageTokenId, grids);
  return { positions, images: await preparer.prepare(images, vision, signal) };
};

const newReaders = (request: ChatRequest, { side }: LoadedModel, thinking: ThinkingStart, nChoices: number) =>
  Array.from(
    { length: nChoices },
    (_, choice) =>
      new ChoiceReader({
        choice,
        thinking,
        toolFormat: side.thread.template?.toolCallFormat ?? null,
        tools: offeredTools(request),
        parallelToolCalls: allowsParallelCalls(request),
        stop: stopsOf(request.stop),
        vocabulary: side.thread.vocabulary,
        eosIds: side.eosIds,
      }),
  );

/** A template without thinking gives text in which nothing is to be split off. */
const splitFrom = (thinking: ThinkingStart, { thread }: PromptSide): ThinkingStart =>
  thread.template?.thinking === true ? thinking : 'closed';

/** Null: no limit is asked for, or there is no reasoning to end. */
const thinkingBudget = (request: ChatRequest, side: PromptSide, thinking: ThinkingStart): ThinkingBudgetSpec | null => {
  const tokensMax = request.thinking_budget_tokens ?? request.thinking_token_budget ?? -1;
  const start = splitFrom(thinking, side);
  if (tokensMax < 0 || start === 'closed') return null;
  const { thinkStartIds, thinkEndIds, callStartIds, thread } = side;
  const hasCalls = (thread.template?.toolCallFormat ?? null) !== null;
  return {
    tokensMax,
    opening: start === 'open' ? null : thinkStartIds,
    endings: hasCalls ? [thinkEndIds, callStartIds] : [thinkEndIds],
  };
};

/** Threads that all requests share. */
export interface ChatHelpers {
  readonly preparer: ImagePreparer;
  readonly grammars: GrammarThread;
}

/** @throws before its first event what refuses the request; see `Harness.chat`. */
export async function* runChat(
  request: ChatRequest,
  { model, signal }: Lease,
  { preparer, grammars }: ChatHelpers,
  caller: Caller,
): AsyncGenerator<CompletionEvent, void> {
  const { side, known, admission } = model;
  const logprobs = nTopLogprobs(request);
  const choices = samplingOf(request, side.defaults, side.thread.vocabulary.nTokens);
  const urls = extractImagesFromRequest(request);
  const prompt = await buildChatPrompt(chatInput(request), urls, side, preparer, signal);
  const asked = request.max_completion_tokens ?? request.max_tokens ?? null;
  const tokensMax = answerTokensMax(prompt.ids.length, contextMaxOf(model), asked, 'messages');
  const constraint = await untilAborted(compiled(request, side, prompt.thinking, grammars), signal);
  const thinking = thinkingBudget(request, side, prompt.thinking);
  const place = admission.enter(choices.length, caller.client);
  try {
    const spec: GenerateSpec = {
      modelId: known.id,
      caller,
      promptIds: prompt.ids,
      vision: await visionInput(prompt, side, preparer, signal),
      choices: choices.map((sampling) => ({ sampling })),
      constraint,
      ...(thinking === null ? {} : { thinking }),
      eosIds: side.eosIds,
      tokensMax,
      nTopLogprobs: logprobs,
    };
    const readers = newReaders(request, model, splitFrom(prompt.thinking, side), choices.length);
    const nImageTokens = prompt.images.reduce((sum, { plan }) => sum + plan.nTokens, 0);
    yield* runGenerations(model, [{ spec, readers }], {
      place,
      signal,
      nImageTokens: side.vision === null ? null : nImageTokens,
      countReasoning: side.thread.template?.thinking === true,
    });
  } finally {
    place.leave();
  }
}
