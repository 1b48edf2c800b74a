/** A node's answer in the form the tests think in, as the chunks of a stream and as one whole completion. */
import type { ChatChunk, ChatCompletion, ChatDelta, FinishReason, Usage } from '@cortex/core';

interface ScriptedCall {
  readonly id: string;
  readonly name: string;
  /** Of the JSON text of its arguments. */
  readonly pieces: readonly string[];
}

export interface ScriptedAnswer {
  readonly reasoning?: readonly string[];
  readonly text?: readonly string[];
  readonly calls?: readonly ScriptedCall[];
  readonly finish?: FinishReason;
  readonly stopString?: string;
  readonly usage?: Usage;
}

export const usage: Usage = {
  prompt_tokens: 100,
  completion_tokens: 7,
  total_tokens: 107,
  prompt_tokens_details: { cached_tokens: 64 },
  completion_tokens_details: { reasoning_tokens: 3 },
};

const identity = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'node-model' };

type Choice = ChatChunk['choices'][number];

export const chunkOf = (choice: Partial<Choice> | null, more: Partial<ChatChunk> = {}): ChatChunk => ({
  ...identity,
  object: 'chat.completion.chunk',
  choices: choice === null ? [] : [{ index: 0, delta: {}, finish_reason: null, ...choice }],
  ...more,
});

const finishOf = (answer: ScriptedAnswer): FinishReason =>
  answer.finish ?? ((answer.calls ?? []).length > 0 ? 'tool_calls' : 'stop');

const argumentDelta = (index: number, piece: string): ChatDelta => ({
  tool_calls: [{ index, function: { arguments: piece } }],
});

const callDeltas = ({ id, name, pieces }: ScriptedCall, index: number): ChatDelta[] => [
  { tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }] },
  ...pieces.map((piece) => argumentDelta(index, piece)),
];

const deltasOf = (answer: ScriptedAnswer): ChatDelta[] => [
  ...(answer.reasoning ?? []).map((piece): ChatDelta => ({ reasoning_content: piece })),
  ...(answer.text ?? []).map((piece): ChatDelta => ({ content: piece })),
  ...(answer.calls ?? []).flatMap(callDeltas),
];

/** As a node sends it that was asked for `continuous_usage_stats`: usage on the first chunk and on the last. */
export const chunksOf = (answer: ScriptedAnswer): ChatChunk[] => {
  const figures = answer.usage ?? usage;
  const stop = answer.stopString === undefined ? {} : { stop_reason: answer.stopString };
  return [
    chunkOf({ delta: { role: 'assistant', content: '' } }, { usage: { ...figures, completion_tokens: 0 } }),
    ...deltasOf(answer).map((delta) => chunkOf({ delta })),
    chunkOf({ finish_reason: finishOf(answer), ...stop }),
    chunkOf(null, { usage: figures }),
  ];
};

export const completionOf = (answer: ScriptedAnswer): ChatCompletion => {
  const reasoning = (answer.reasoning ?? []).join('');
  const text = (answer.text ?? []).join('');
  const calls = (answer.calls ?? []).map(({ id, name, pieces }) => ({
    id,
    type: 'function' as const,
    function: { name, arguments: pieces.join('') },
  }));
  return {
    ...identity,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: {
          role: 'assistant',
          content: text === '' && calls.length > 0 ? null : text,
          ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
          refusal: null,
          ...(calls.length === 0 ? {} : { tool_calls: calls }),
        },
        logprobs: null,
        finish_reason: finishOf(answer),
        ...(answer.stopString === undefined ? {} : { stop_reason: answer.stopString }),
      },
    ],
    usage: answer.usage ?? usage,
  };
};
