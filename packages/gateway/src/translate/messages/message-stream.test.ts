import { CortexError, type ChatChunk } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { chunkOf, chunksOf, completionOf, usage, type ScriptedAnswer } from '../../../test/translate/chat-answers.ts';
import { answerFor, eventsFor, eventsIn, streamOf, tell, textFor } from '../../../test/translate/run-dialect.ts';
import type { JsonObject } from '../contract.ts';
import { messagesDialect } from './dialect.ts';

const base: JsonObject = { model: 'claude', max_tokens: 64, messages: [{ role: 'user', content: 'hi' }] };
const thinking: JsonObject = { ...base, thinking: { type: 'adaptive' } };
const events = (answer: ScriptedAnswer, body = base): JsonObject[] =>
  eventsFor(messagesDialect, body, chunksOf(answer)).map(({ event, data }) => {
    expect(event).toBe(data['type']);
    return data;
  });

const figures = { input_tokens: 36, cache_creation_input_tokens: 0, cache_read_input_tokens: 64 };
const start = {
  type: 'message_start',
  message: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    model: 'claude',
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { ...figures, output_tokens: 0, output_tokens_details: { thinking_tokens: 3 } },
  },
};
const stop = (stop_reason: string, stop_sequence: string | null = null): JsonObject[] => [
  {
    type: 'message_delta',
    delta: { stop_reason, stop_sequence },
    usage: { ...figures, output_tokens: 7, output_tokens_details: { thinking_tokens: 3 } },
  },
  { type: 'message_stop' },
];
const block = (index: number, content_block: JsonObject, ...deltas: JsonObject[]): JsonObject[] => [
  { type: 'content_block_start', index, content_block },
  ...deltas.map((delta) => ({ type: 'content_block_delta', index, delta })),
  { type: 'content_block_stop', index },
];
const textBlock = (index: number, ...pieces: string[]): JsonObject[] =>
  block(index, { type: 'text', text: '' }, ...pieces.map((text) => ({ type: 'text_delta', text })));
const emptyThinking = { type: 'thinking', thinking: '', signature: '' };

const callChunk = (index: number, args: string): ChatChunk =>
  chunkOf({ delta: { tool_calls: [{ index, id: `c${index}`, function: { name: 'f', arguments: args } }] } });

describe('the events of a streamed message', () => {
  it('for text', () => {
    expect(events({ text: ['Hel', 'lo'] })).toEqual([
      start,
      { type: 'ping' },
      ...textBlock(0, 'Hel', 'lo'),
      ...stop('end_turn'),
    ]);
  });

  it('for thinking, text and two calls: one block after the other, indices counting up', () => {
    const answer: ScriptedAnswer = {
      reasoning: ['let me', ' see'],
      text: ['I look.'],
      calls: [
        { id: 'call_a', name: 'read', pieces: ['{"path":', '"/a"}'] },
        { id: 'call_b', name: 'now', pieces: [] },
      ],
    };
    expect(events(answer, thinking)).toEqual([
      start,
      { type: 'ping' },
      ...block(
        0,
        emptyThinking,
        { type: 'thinking_delta', thinking: 'let me' },
        { type: 'thinking_delta', thinking: ' see' },
        { type: 'signature_delta', signature: 'cortex1.' },
      ),
      ...textBlock(1, 'I look.'),
      ...block(
        2,
        { type: 'tool_use', id: 'call_a', name: 'read', input: {} },
        { type: 'input_json_delta', partial_json: '{"path":' },
        { type: 'input_json_delta', partial_json: '"/a"}' },
      ),
      ...block(3, { type: 'tool_use', id: 'call_b', name: 'now', input: {} }),
      ...stop('tool_use'),
    ]);
  });

  it('carry hidden thinking in its signature alone', () => {
    const body = { ...base, thinking: { type: 'enabled', budget_tokens: 1024, display: 'omitted' } };
    expect(events({ reasoning: ['se', 'cret'], text: ['x'] }, body).slice(2, 5)).toEqual(
      block(0, emptyThinking, {
        type: 'signature_delta',
        signature: `cortex1.${Buffer.from('secret').toString('base64url')}`,
      }),
    );
  });

  it('leave out thinking that was not asked for', () => {
    expect(events({ reasoning: ['hm'], text: ['x'] })).toEqual([
      start,
      { type: 'ping' },
      ...textBlock(0, 'x'),
      ...stop('end_turn'),
    ]);
  });

  it.each([
    [{ text: ['x'], finish: 'length' }, 'max_tokens', null],
    [{ text: ['x'], finish: 'content_filter' }, 'refusal', null],
    [{ text: ['x'], finish: 'stop', stopString: 'END' }, 'stop_sequence', 'END'],
    [{ text: ['x'], finish: 'stop', stopString: '<|im_end|>' }, 'end_turn', null],
    [{ calls: [{ id: 'c', name: 'f', pieces: ['{}'] }], finish: 'stop' }, 'tool_use', null],
  ] as const)('say why the answer of %j ended', (answer, reason, sequence) => {
    const body = { ...base, stop_sequences: ['END'] };
    expect(events(answer, body).slice(-2)).toEqual(stop(reason, sequence));
    expect(answerFor(messagesDialect, body, completionOf(answer))).toMatchObject({
      stop_reason: reason,
      stop_sequence: sequence,
    });
  });

  it('count the prompt roughly where the node tells only at the end, and exactly then', () => {
    const [, ...chunks] = chunksOf({ text: ['x'] });
    const content = [
      { type: 'text', text: 'a'.repeat(400) },
      { type: 'image', source: { type: 'url', url: 'https://x' } },
    ];
    const told = eventsFor(messagesDialect, { ...base, messages: [{ role: 'user', content }] }, chunks).map(
      ({ data }) => data,
    );
    expect(told[0]).toMatchObject({ message: { usage: { input_tokens: 356 } } });
    expect(told.at(-2)).toMatchObject({ usage: { input_tokens: 36, cache_read_input_tokens: 64 } });
  });

  it('count the answer by its pieces where the node tells nothing at all', () => {
    const untold = chunksOf({ text: ['x', 'y', 'z'] })
      .slice(1)
      .filter(({ choices }) => choices.length > 0);
    const told = eventsFor(messagesDialect, base, untold).map(({ data }) => data);
    expect(told.at(-2)).toMatchObject({ usage: { output_tokens: 3 } });
  });

  it('begin only with the first piece, so that another node may still take over', () => {
    const stream = streamOf(messagesDialect, base);
    const chunks = chunksOf({ text: ['x'] });
    expect(tell(stream, chunks.slice(0, 1))).toBe('');
    // The first node breaks, the second begins again.
    expect(eventsIn(textFor(stream, chunks))[0]).toMatchObject({ event: 'message_start' });
  });

  it('begin again after a node that fails with its first piece', () => {
    const stream = streamOf(messagesDialect, base);
    const nameless = chunkOf({ delta: { tool_calls: [{ index: 0, function: { arguments: '{' } }] } });
    expect(() => stream.chunk(nameless)).toThrow(CortexError);
    expect(eventsIn(textFor(stream, chunksOf({ text: ['x'] })))[0]).toMatchObject({ event: 'message_start' });
  });
});

describe('a silent stream', () => {
  it('pings, before its beginning too, and tells why in a comment', () => {
    const stream = streamOf(messagesDialect, base);
    const waiting = stream.keepalive({ kind: 'loading', node: 'a', fraction: 0.4, etaSecs: 12 });
    expect(waiting).toMatch(/^: loading on a, 40 %/);
    expect(eventsIn(waiting)).toEqual([{ event: 'ping', data: { type: 'ping' } }]);
  });
});

describe('a stream that fails', () => {
  it('ends in an error event and nothing after it', () => {
    const stream = streamOf(messagesDialect, base);
    const begun = tell(stream, chunksOf({ text: ['x'] }).slice(0, 2));
    const failed = eventsIn(begun + stream.fail(new CortexError('device_poisoned', 'gone', { facts: { node: 'a' } })));
    expect(failed.at(-1)).toEqual({
      event: 'error',
      data: {
        type: 'error',
        error: { type: 'overloaded_error', message: 'gone', code: 'device_poisoned', node: 'a' },
      },
    });
    expect(failed.map(({ event }) => event)).not.toContain('message_stop');
  });

  it('is one whose node says it is done without saying why', () => {
    const stream = streamOf(messagesDialect, base);
    tell(stream, chunksOf({ text: ['x'] }).slice(0, 2));
    expect(() => stream.end()).toThrow(expect.objectContaining({ code: 'upstream_error' }));
  });

  it.each([
    ['a call that goes on after it was whole', [0, 1, 0]],
    ['a call that comes again after its end', [0, 2, 1, 2]],
  ])('is one with %s', (_what, indices) => {
    const stream = streamOf(messagesDialect, base);
    const piece = (index: number): string => stream.chunk(callChunk(index, '{}'));
    expect(() => indices.map(piece)).toThrow(expect.objectContaining({ code: 'upstream_error' }));
  });

  it('is one whose engine gave up', () => {
    const aborted = chunkOf({ finish_reason: 'abort' as 'stop' });
    expect(() => streamOf(messagesDialect, base).chunk(aborted)).toThrow('gave the answer up');
  });
});

describe('calls that an engine writes at the same time', () => {
  it('are blocks one after the other', () => {
    const stream = streamOf(messagesDialect, base);
    const pieces = [callChunk(0, '{"a":'), callChunk(1, '{"b":'), callChunk(0, '1}'), callChunk(1, '2}')];
    const written = eventsIn(tell(stream, [...pieces, chunkOf({ finish_reason: 'tool_calls' })]));
    const told = written.flatMap(({ data }) => {
      const delta = data['delta'] as { partial_json?: string } | undefined;
      return delta?.partial_json === undefined ? [] : [`${String(data['index'])} ${delta.partial_json}`];
    });
    expect(told).toEqual(['0 {"a":', '0 1}', '1 {"b":', '1 2}']);
  });
});

const contentOfCall = (pieces: string[], finish: 'tool_calls' | 'length'): unknown =>
  answerFor(messagesDialect, base, completionOf({ calls: [{ id: 'c', name: 'f', pieces }], finish }))['content'];

describe('a whole message', () => {
  it('has the blocks its stream would add up to', () => {
    const answer: ScriptedAnswer = {
      reasoning: ['why'],
      text: ['I look.'],
      calls: [{ id: 'call_a', name: 'read', pieces: ['{"path":', '"/a"}'] }],
    };
    expect(answerFor(messagesDialect, thinking, completionOf(answer))).toEqual({
      ...start.message,
      content: [
        { type: 'thinking', thinking: 'why', signature: 'cortex1.' },
        { type: 'text', text: 'I look.' },
        { type: 'tool_use', id: 'call_a', name: 'read', input: { path: '/a' } },
      ],
      stop_reason: 'tool_use',
      usage: { ...figures, output_tokens: 7, output_tokens_details: { thinking_tokens: 3 } },
    });
  });

  it('takes a call without arguments, and one cut short by the limit, as one of {}', () => {
    const expected = [{ type: 'tool_use', id: 'c', name: 'f', input: {} }];
    expect(contentOfCall([], 'tool_calls')).toEqual(expected);
    expect(contentOfCall(['{"a": [1'], 'length')).toEqual(expected);
    expect(() => contentOfCall(['{"a": [1'], 'tool_calls')).toThrow('no JSON object');
    expect(() => contentOfCall(['[1]'], 'tool_calls')).toThrow('no JSON object');
  });

  it.each([[null], [{}], [{ choices: [] }], [{ choices: [{ message: { content: 'x' } }], usage }], ['text']])(
    'is not made of %j',
    (body) => {
      expect(() => answerFor(messagesDialect, base, body)).toThrow(expect.objectContaining({ code: 'upstream_error' }));
    },
  );
});

describe('an error before the answer', () => {
  it("is in Anthropic's envelope, with our code and facts", () => {
    const facts = { model_id: 'm', suggestion: 'another' };
    const error = new CortexError('vision_unsupported', 'cannot see', { param: 'model', facts });
    expect(messagesDialect.errorBody(error, 'req_9')).toEqual({
      type: 'error',
      error: {
        type: 'invalid_request_error',
        message: 'cannot see',
        code: 'vision_unsupported',
        param: 'model',
        ...facts,
      },
      request_id: 'req_9',
    });
  });

  it('says "prompt is too long" where it is, as Claude Code waits for these words to compact', () => {
    const error = new CortexError('context_length_exceeded', '9 tokens are more than 8');
    expect(messagesDialect.errorBody(error, 'r')).toMatchObject({
      error: { message: 'prompt is too long: 9 tokens are more than 8' },
    });
  });
});
