/** The words of a fake neuron: what a model says to a request, as chunks and as one answer. Pure. */
import type { ChatChunk, ChatCompletion, ChatDelta, FinishReason, ToolCall, Usage } from '@cortex/core';
import type { FakeModel } from './settings.ts';

type Body = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Body => typeof value === 'object' && value !== null;

export interface Answer {
  readonly deltas: readonly ChatDelta[];
  readonly finish: FinishReason;
  readonly usage: Usage;
}

const partsOf = (body: Body): readonly unknown[] =>
  (Array.isArray(body['messages']) ? body['messages'] : []).flatMap((message: unknown) =>
    isObject(message) && Array.isArray(message['content']) ? (message['content'] as unknown[]) : [],
  );

export const hasImage = (body: Body): boolean =>
  partsOf(body).some((part) => isObject(part) && part['type'] === 'image_url');

/** About four characters a token; an image is 64. */
export const promptTokens = (body: Body): number => {
  const text = JSON.stringify(body['messages'] ?? body['prompt'] ?? body['input'] ?? '').replaceAll(
    /"data:[^"]*"/g,
    '',
  );
  const nImages = partsOf(body).filter((part) => isObject(part) && part['type'] === 'image_url').length;
  return Math.ceil(text.length / 4) + nImages * 64;
};

const words = (model: FakeModel): ChatDelta[] =>
  Array.from({ length: model.tokens }, (_, i) => ({ content: `w${i} `.padEnd(model.piece_bytes, '.') }));

export const answerTo = (model: FakeModel, body: Body): Answer => {
  const all = model.deltas ?? words(model);
  const max = [body['max_completion_tokens'], body['max_tokens']].find((one) => typeof one === 'number');
  const deltas = typeof max === 'number' ? all.slice(0, max) : all;
  const calls = deltas.some((delta) => delta.tool_calls !== undefined);
  const prompt = promptTokens(body);
  return {
    deltas,
    finish: deltas.length < all.length ? 'length' : calls ? 'tool_calls' : 'stop',
    usage: {
      prompt_tokens: prompt,
      completion_tokens: deltas.length,
      total_tokens: prompt + deltas.length,
      prompt_tokens_details: { cached_tokens: Math.floor(prompt / 2) },
    },
  };
};

export const chatChunk = (
  id: string,
  model: string,
  delta: ChatDelta | null,
  finish: FinishReason | null,
  usage?: Usage | null,
): ChatChunk => ({
  id,
  object: 'chat.completion.chunk',
  created: 1_700_000_000,
  model,
  choices: delta === null ? [] : [{ index: 0, delta, logprobs: null, finish_reason: finish }],
  ...(usage === undefined ? {} : { usage }),
});

export const textChunk = (
  id: string,
  model: string,
  delta: ChatDelta | null,
  finish: FinishReason | null,
  usage?: Usage | null,
): object => ({
  id,
  object: 'text_completion',
  created: 1_700_000_000,
  model,
  choices: delta === null ? [] : [{ index: 0, text: delta.content ?? '', logprobs: null, finish_reason: finish }],
  ...(usage === undefined ? {} : { usage }),
});

const joinedCalls = (deltas: readonly ChatDelta[]): ToolCall[] => {
  const calls: ToolCall[] = [];
  for (const piece of deltas.flatMap((delta) => delta.tool_calls ?? [])) {
    const call = calls[piece.index] ?? { id: '', type: 'function', function: { name: '', arguments: '' } };
    calls[piece.index] = {
      id: piece.id ?? call.id,
      type: 'function',
      function: {
        name: piece.function.name ?? call.function.name,
        arguments: call.function.arguments + (piece.function.arguments ?? ''),
      },
    };
  }
  return calls;
};

export const wholeChat = (id: string, model: string, answer: Answer): ChatCompletion => {
  const text = answer.deltas.map((delta) => delta.content ?? '').join('');
  const reasoning = answer.deltas.map((delta) => delta.reasoning_content ?? '').join('');
  const calls = joinedCalls(answer.deltas);
  return {
    id,
    object: 'chat.completion',
    created: 1_700_000_000,
    model,
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: text === '' && calls.length > 0 ? null : text,
          refusal: null,
          ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
          ...(calls.length === 0 ? {} : { tool_calls: calls }),
        },
        logprobs: null,
        finish_reason: answer.finish,
      },
    ],
    usage: answer.usage,
  };
};

export const wholeText = (id: string, model: string, answer: Answer): object => ({
  id,
  object: 'text_completion',
  created: 1_700_000_000,
  model,
  choices: [
    {
      index: 0,
      text: answer.deltas.map((delta) => delta.content ?? '').join(''),
      logprobs: null,
      finish_reason: answer.finish,
    },
  ],
  usage: answer.usage,
});
