import { describe, expect, it } from 'vitest';
import type { ChatChunk, CompletionEvent, TokenLogprob, Usage } from '@cortex/core';
import { ChatChunkBuilder, collectChat } from './openai-chat-response.ts';
import type { StreamUsage } from './running-usage.ts';

const identity = { id: 'chatcmpl-1', created: 1_700_000_000, model: 'm' };
const usage: Usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
const finish = (
  choice = 0,
  reason: 'stop' | 'length' | 'tool_calls' = 'stop',
): Extract<CompletionEvent, { kind: 'finish' }> => ({
  kind: 'finish',
  choice,
  reason,
});
const text = (piece: string, choice = 0): CompletionEvent => ({ kind: 'text', choice, text: piece });
const counted = (choice: number, completionTokens: number): CompletionEvent => ({
  kind: 'text',
  choice,
  text: 'x',
  completionTokens,
});
const logprob = (token: string): TokenLogprob => ({
  token,
  logprob: -0.5,
  bytes: [...Buffer.from(token)],
  top_logprobs: [],
});
const logprobsOf = (choice: number, ...tokens: string[]): CompletionEvent => ({
  kind: 'logprobs',
  choice,
  tokens: tokens.map(logprob),
});
const done: CompletionEvent = { kind: 'usage', usage };
const accepted: CompletionEvent = { kind: 'accepted', promptTokens: 3 };

const chunksOf = (events: readonly CompletionEvent[], streamUsage: StreamUsage = 'none'): ChatChunk[] => {
  const builder = new ChatChunkBuilder(identity, { usage: streamUsage });
  return events.flatMap((event) => builder.push(event));
};
async function* streamOf(events: readonly CompletionEvent[]): AsyncGenerator<CompletionEvent> {
  yield* events;
}
const collect = (events: readonly CompletionEvent[]) => collectChat(streamOf(events), identity);

const call = (index: number, name: string, args: string[]): CompletionEvent[] => [
  { kind: 'tool_call', choice: 0, index, id: `call_${index}`, name, arguments: '' },
  ...args.map((piece): CompletionEvent => ({ kind: 'tool_call', choice: 0, index, arguments: piece })),
];

describe('the chunks of a stream', () => {
  it('open with the role, carry the deltas and end with the finish reason', () => {
    const chunks = chunksOf([{ kind: 'accepted', promptTokens: 3 }, text('Hel'), text('lo'), finish(), done]);
    expect(chunks.map((chunk) => chunk.choices[0])).toEqual([
      { index: 0, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null },
      { index: 0, delta: { content: 'Hel' }, logprobs: null, finish_reason: null },
      { index: 0, delta: { content: 'lo' }, logprobs: null, finish_reason: null },
      { index: 0, delta: {}, logprobs: null, finish_reason: 'stop', stop_reason: null },
    ]);
    for (const chunk of chunks) expect(chunk).toMatchObject({ ...identity, object: 'chat.completion.chunk' });
    for (const chunk of chunks) expect(chunk).not.toHaveProperty('usage');
  });

  it('write nothing before the first token', () => {
    expect(
      chunksOf([
        { kind: 'accepted', promptTokens: 3 },
        { kind: 'prefill', done: 1, total: 3 },
      ]),
    ).toEqual([]);
  });

  it('end with a usage chunk without choices when usage is asked for, null before it', () => {
    const chunks = chunksOf([text('a'), finish(), done], 'last');
    expect(chunks.at(-1)).toEqual({ ...identity, object: 'chat.completion.chunk', choices: [], usage });
    expect(chunks.slice(0, -1).map((chunk) => chunk.usage)).toEqual([null, null, null]);
  });

  it('carry running usage from the role chunk on when every chunk is to have it', () => {
    const events = [accepted, counted(0, 1), counted(1, 2), counted(0, 4), finish(), done];
    const chunks = chunksOf(events, 'every');
    expect(chunks.map((chunk) => chunk.usage?.completion_tokens)).toEqual([0, 1, 1, 3, 6, undefined, 2]);
    expect(chunks[0]).toMatchObject({ choices: [{ delta: { role: 'assistant' } }] });
    expect(chunks[0]?.usage).toEqual({ prompt_tokens: 3, completion_tokens: 0, total_tokens: 3 });
    expect(chunks[4]?.usage).toEqual({ prompt_tokens: 3, completion_tokens: 6, total_tokens: 9 });
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage });
  });

  it('name the stop string with the finish reason', () => {
    const last = chunksOf([text('a'), { ...finish(), stop: 'END' }]).at(-1);
    expect(last?.choices[0]).toMatchObject({ finish_reason: 'stop', stop_reason: 'END' });
  });

  it('tell the prompt but no running counts where the engine gives none', () => {
    const chunks = chunksOf([accepted, text('a'), text('b'), finish(), done], 'every');
    expect(chunks.map((chunk) => chunk.usage?.completion_tokens ?? null)).toEqual([0, null, null, null, 2]);
  });

  it('give every choice its own role chunk', () => {
    const chunks = chunksOf([text('a', 0), text('b', 1), finish(0), finish(1)]);
    const roles = chunks.flatMap((chunk) => chunk.choices).filter((choice) => choice.delta.role !== undefined);
    expect(roles.map((choice) => choice.index)).toEqual([0, 1]);
  });

  it('name a call in its first delta only', () => {
    const chunks = chunksOf([...call(0, 'f', ['{"a":', '1}']), finish(0, 'tool_calls')]);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: 'assistant', content: null });
    expect(chunks.slice(1, 4).map((chunk) => chunk.choices[0]?.delta.tool_calls)).toEqual([
      [{ index: 0, id: 'call_0', type: 'function', function: { name: 'f', arguments: '' } }],
      [{ index: 0, function: { arguments: '{"a":' } }],
      [{ index: 0, function: { arguments: '1}' } }],
    ]);
  });

  it('attach log-probabilities to the next chunk of their choice, the last ones to the finish', () => {
    const chunks = chunksOf([
      logprobsOf(0, 'a'),
      logprobsOf(0, 'b'),
      text('x', 1),
      text('ab', 0),
      logprobsOf(0, 'c'),
      finish(0),
    ]);
    const seen = chunks.flatMap((chunk) =>
      chunk.choices.map((choice) => [choice.index, choice.logprobs?.content.map((one) => one.token) ?? []]),
    );
    expect(seen).toEqual([
      [1, []],
      [1, []],
      [0, []],
      [0, ['a', 'b']],
      [0, ['c']],
    ]);
  });
});

describe('the whole answer', () => {
  it('joins text, reasoning and log-probabilities', async () => {
    const answer = await collect([
      { kind: 'accepted', promptTokens: 3 },
      { kind: 'reasoning', choice: 0, text: 'why' },
      { kind: 'logprobs', choice: 0, tokens: [logprob('Hi')] },
      text('H'),
      text('i'),
      finish(),
      done,
    ]);
    expect(answer).toEqual({
      ...identity,
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hi', reasoning_content: 'why', refusal: null },
          logprobs: { content: [logprob('Hi')], refusal: null },
          finish_reason: 'stop',
          stop_reason: null,
        },
      ],
      usage,
    });
  });

  it('has null content when there are only calls, in the order of their index', async () => {
    const answer = await collect([
      ...call(0, 'f', ['{}']),
      ...call(1, 'g', ['{"a"', ':1}']),
      finish(0, 'tool_calls'),
      done,
    ]);
    expect(answer.choices[0]?.message).toEqual({
      role: 'assistant',
      content: null,
      refusal: null,
      tool_calls: [
        { id: 'call_0', type: 'function', function: { name: 'f', arguments: '{}' } },
        { id: 'call_1', type: 'function', function: { name: 'g', arguments: '{"a":1}' } },
      ],
    });
  });

  it('has the empty string for an answer cut off in its reasoning', async () => {
    const answer = await collect([{ kind: 'reasoning', choice: 0, text: 'hmm' }, finish(0, 'length'), done]);
    expect(answer.choices[0]?.message.content).toBe('');
  });

  it('orders choices by index, whichever spoke first', async () => {
    const answer = await collect([text('b', 1), text('a', 0), finish(1), finish(0), done]);
    expect(answer.choices.map((choice) => [choice.index, choice.message.content])).toEqual([
      [0, 'a'],
      [1, 'b'],
    ]);
  });

  it('names the stop string of each choice', async () => {
    const answer = await collect([text('a'), text('b', 1), { ...finish(0), stop: 'END' }, finish(1), done]);
    expect(answer.choices.map((choice) => choice.stop_reason)).toEqual(['END', null]);
  });

  it('refuses a stream that ends early', async () => {
    await expect(collect([text('a'), done])).rejects.toMatchObject({ code: 'internal_error' });
    await expect(collect([text('a'), finish()])).rejects.toMatchObject({ code: 'internal_error' });
  });
});
