import { describe, expect, it } from 'vitest';
import type { ChatChunk, Usage } from '@cortex/core';
import {
  addChunk,
  answerRate,
  chatRequest,
  endAnswer,
  newAnswer,
  noParameters,
  type AnswerTurn,
  type Turn,
} from './conversation.ts';
import { usageLine } from './usage-line.ts';

type Choice = ChatChunk['choices'][number];

const chunk = (delta: Choice['delta'], finish_reason: Choice['finish_reason'] = null): ChatChunk => ({
  id: 'c',
  object: 'chat.completion.chunk',
  created: 0,
  model: 'm',
  choices: [{ index: 0, delta, finish_reason }],
});
const usage: Usage = {
  prompt_tokens: 41,
  completion_tokens: 11,
  total_tokens: 52,
  prompt_tokens_details: { cached_tokens: 12 },
};
const told = (...chunks: readonly ChatChunk[]): AnswerTurn =>
  chunks.reduce((answer, one, i) => addChunk(answer, one, 1100 + i * 100), { ...newAnswer('m', 1000), note: 'queued' });

describe('an answer', () => {
  it('grows piece by piece, reasoning and calls beside the text', () => {
    const answer = told(
      chunk({ role: 'assistant', content: '' }),
      chunk({ reasoning_content: 'hm' }),
      chunk({ content: 'It ' }),
      chunk({ content: 'is.' }),
      chunk({ tool_calls: [{ index: 0, id: 'a', type: 'function', function: { name: 'f', arguments: '' } }] }),
      chunk({ tool_calls: [{ index: 1, id: 'b', function: { name: 'g', arguments: '{}' } }] }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: '{"x":' } }] }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: '1}' } }] }),
      chunk({}, 'tool_calls'),
    );
    expect(answer).toMatchObject({
      text: 'It is.',
      reasoning: 'hm',
      state: 'streaming',
      finish: 'tool_calls',
      note: '',
    });
    expect(answer.calls).toEqual([
      { id: 'a', name: 'f', arguments: '{"x":1}' },
      { id: 'b', name: 'g', arguments: '{}' },
    ]);
  });

  it('has its first token when something is said, not with the role', () => {
    expect(told(chunk({ role: 'assistant', content: '' }))).toMatchObject({
      state: 'waiting',
      note: 'queued',
      firstTokenMs: null,
    });
    expect(told(chunk({ role: 'assistant', content: '' }), chunk({ content: 'a' })).firstTokenMs).toBe(1200);
  });

  it('tells what it took', () => {
    const answer = told(chunk({ content: 'a' }), chunk({ content: 'b' }, 'length'), {
      ...chunk({}),
      choices: [],
      usage,
    });
    const ended = { ...endAnswer(answer, 'done', 2100), node: 'beast' };
    expect(answerRate(ended)).toBe(10);
    expect(usageLine(ended)).toBe(
      'cut at the most tokens · prompt 41 (12 cached) · answer 11 · first token 100 ms · 10.0 tok/s · on beast',
    );
    expect(answerRate(endAnswer(answer, 'done', 1105))).toBeNull();
    expect(usageLine(endAnswer(newAnswer('m', 0), 'stopped', 5))).toBe('stopped');
  });
});

describe('the request of a conversation', () => {
  const failed = endAnswer(newAnswer('m', 0), { code: 'overloaded', message: 'no' }, 1);
  const turns: readonly Turn[] = [
    { kind: 'user', text: 'look', pictures: [{ url: 'data:image/png;base64,AA', name: 'a', note: null }] },
    endAnswer({ ...newAnswer('m', 0), text: 'a square', reasoning: 'secret' }, 'done', 1),
    { kind: 'user', text: 'and now?', pictures: [] },
    failed,
    { kind: 'user', text: '', pictures: [{ url: 'data:image/png;base64,BB', name: 'b', note: null }] },
  ];

  it('has everything said but failures and reasoning, pictures before the text', () => {
    expect(chatRequest('m', turns, { ...noParameters, system: 'Be brief.' })['messages']).toEqual([
      { role: 'system', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } },
          { type: 'text', text: 'look' },
        ],
      },
      { role: 'assistant', content: 'a square' },
      { role: 'user', content: 'and now?' },
      { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,BB' } }] },
    ]);
  });

  it('leaves out the parameters that were not given', () => {
    expect(JSON.parse(JSON.stringify(chatRequest('m', [], noParameters)))).toEqual({
      model: 'm',
      messages: [],
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(chatRequest('m', [], { system: ' ', temperature: '0', maxTokens: '64', tools: '[]' })).toMatchObject({
      messages: [],
      temperature: 0,
      max_tokens: 64,
      tools: [],
    });
  });

  it.each([
    [{ temperature: 'hot' }, 'Temperature is not a number.'],
    [{ maxTokens: '1e' }, 'The most tokens is not a number.'],
    [{ tools: '[{]' }, 'The tools are not JSON.'],
  ])('says what is wrong with %j', (change, message) => {
    expect(() => chatRequest('m', [], { ...noParameters, ...change })).toThrow(message);
  });
});
