import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { chunkOf, chunksOf, completionOf, type ScriptedAnswer } from '../../../test/translate/chat-answers.ts';
import { answerFor, eventsFor, eventsIn, streamOf, tell, textFor } from '../../../test/translate/run-dialect.ts';
import type { JsonObject } from '../contract.ts';
import { responsesDialect } from './dialect.ts';

const base: JsonObject = { model: 'gpt', input: 'hi', store: false };
const events = (answer: ScriptedAnswer, body = base): JsonObject[] =>
  eventsFor(responsesDialect, body, chunksOf(answer)).map(({ event, data }, i) => {
    expect(event).toBe(data['type']);
    const { sequence_number: sequence, ...members } = data;
    expect(sequence).toBe(i);
    return members;
  });

const response = (status: string, output: unknown[], more: JsonObject = {}): JsonObject => ({
  id: 'resp_1',
  object: 'response',
  created_at: 1_700_000_000,
  status,
  error: null,
  incomplete_details: null,
  model: 'gpt',
  output,
  usage: null,
  instructions: null,
  max_output_tokens: null,
  metadata: {},
  parallel_tool_calls: true,
  reasoning: { effort: null, summary: null },
  temperature: null,
  text: { format: { type: 'text' } },
  tool_choice: 'auto',
  tools: [],
  top_p: null,
  background: false,
  previous_response_id: null,
  store: false,
  truncation: 'disabled',
  ...more,
});
const figures = {
  input_tokens: 100,
  input_tokens_details: { cached_tokens: 64, cache_write_tokens: 0 },
  output_tokens: 7,
  output_tokens_details: { reasoning_tokens: 3 },
  total_tokens: 107,
};
const opening = [
  { type: 'response.created', response: response('in_progress', []) },
  { type: 'response.in_progress', response: response('in_progress', []) },
];

const part = (text: string): JsonObject => ({ type: 'output_text', text, annotations: [], logprobs: [] });
const message = (id: string, status: string, ...texts: string[]): JsonObject => ({
  type: 'message',
  id,
  status,
  role: 'assistant',
  content: texts.map(part),
});
const messageEvents = (index: number, status: string, ...pieces: string[]): JsonObject[] => {
  const id = `msg_1_${index}`;
  const at = { item_id: id, output_index: index, content_index: 0 };
  const text = pieces.join('');
  return [
    { type: 'response.output_item.added', output_index: index, item: message(id, 'in_progress') },
    { type: 'response.content_part.added', ...at, part: part('') },
    ...pieces.map((delta) => Object.assign({ type: 'response.output_text.delta', delta, logprobs: [] }, at)),
    { type: 'response.output_text.done', ...at, text, logprobs: [] },
    { type: 'response.content_part.done', ...at, part: part(text) },
    { type: 'response.output_item.done', output_index: index, item: message(id, status, text) },
  ];
};

const reasoning = {
  type: 'reasoning',
  id: 'rs_1_0',
  status: 'completed',
  summary: [{ type: 'summary_text', text: 'why not' }],
};
const call = (index: number, id: string, args: string, status = 'completed'): JsonObject => ({
  type: 'function_call',
  id: `fc_1_${index}`,
  status,
  call_id: id,
  name: 'read',
  arguments: args,
});

const atCall = (index: number): JsonObject => ({ item_id: `fc_1_${index}`, output_index: index });

describe('the events of a streamed response', () => {
  it('for text', () => {
    expect(events({ text: ['Hel', 'lo'] })).toEqual([
      ...opening,
      ...messageEvents(0, 'completed', 'Hel', 'lo'),
      {
        type: 'response.completed',
        response: response('completed', [message('msg_1_0', 'completed', 'Hello')], { usage: figures }),
      },
    ]);
  });

  it('for reasoning, text and two calls: one item after the other, indices counting up', () => {
    const answer: ScriptedAnswer = {
      reasoning: ['why', ' not'],
      text: ['I look.'],
      calls: [
        { id: 'call_a', name: 'read', pieces: ['{"path":', '"/a"}'] },
        { id: 'call_b', name: 'read', pieces: [] },
      ],
    };
    const at = { item_id: 'rs_1_0', output_index: 0, summary_index: 0 };
    expect(events(answer)).toEqual([
      ...opening,
      {
        type: 'response.output_item.added',
        output_index: 0,
        item: { ...reasoning, status: 'in_progress', summary: [] },
      },
      { type: 'response.reasoning_summary_part.added', ...at, part: { type: 'summary_text', text: '' } },
      { type: 'response.reasoning_summary_text.delta', ...at, delta: 'why' },
      { type: 'response.reasoning_summary_text.delta', ...at, delta: ' not' },
      { type: 'response.reasoning_summary_text.done', ...at, text: 'why not' },
      { type: 'response.reasoning_summary_part.done', ...at, part: { type: 'summary_text', text: 'why not' } },
      { type: 'response.output_item.done', output_index: 0, item: reasoning },
      ...messageEvents(1, 'completed', 'I look.'),
      { type: 'response.output_item.added', output_index: 2, item: call(2, 'call_a', '', 'in_progress') },
      { type: 'response.function_call_arguments.delta', ...atCall(2), delta: '{"path":' },
      { type: 'response.function_call_arguments.delta', ...atCall(2), delta: '"/a"}' },
      { type: 'response.function_call_arguments.done', ...atCall(2), name: 'read', arguments: '{"path":"/a"}' },
      { type: 'response.output_item.done', output_index: 2, item: call(2, 'call_a', '{"path":"/a"}') },
      { type: 'response.output_item.added', output_index: 3, item: call(3, 'call_b', '', 'in_progress') },
      { type: 'response.function_call_arguments.done', ...atCall(3), name: 'read', arguments: '{}' },
      { type: 'response.output_item.done', output_index: 3, item: call(3, 'call_b', '{}') },
      {
        type: 'response.completed',
        response: response(
          'completed',
          [
            reasoning,
            message('msg_1_1', 'completed', 'I look.'),
            call(2, 'call_a', '{"path":"/a"}'),
            call(3, 'call_b', '{}'),
          ],
          { usage: figures },
        ),
      },
    ]);
  });

  it.each([
    ['length', 'max_output_tokens'],
    ['content_filter', 'content_filter'],
  ] as const)('that %s cut short is incomplete, and so is its last item', (finish, reason) => {
    expect(events({ text: ['Hel'], finish })).toEqual([
      ...opening,
      ...messageEvents(0, 'incomplete', 'Hel'),
      {
        type: 'response.incomplete',
        response: response('incomplete', [message('msg_1_0', 'incomplete', 'Hel')], {
          usage: figures,
          incomplete_details: { reason },
        }),
      },
    ]);
  });

  it('seal the reasoning for who asks for it', () => {
    const body = { ...base, include: ['reasoning.encrypted_content'] };
    const done = events({ reasoning: ['why'], text: ['x'] }, body).find(
      ({ type, output_index: index }) => type === 'response.output_item.done' && index === 0,
    );
    expect(done?.['item']).toMatchObject({ encrypted_content: `cortex1.${Buffer.from('why').toString('base64url')}` });
  });

  it('repeat what was asked for', () => {
    const asked = {
      instructions: 'Be brief.',
      max_output_tokens: 9,
      metadata: { a: 'b' },
      tools: [{ type: 'web_search' }],
      tool_choice: 'none',
      temperature: 0,
      parallel_tool_calls: false,
    };
    expect(events({ text: ['x'] }, { ...base, ...asked })[0]).toMatchObject({ response: asked });
  });

  it('begin only with the first piece, so that another node may still take over', () => {
    const stream = streamOf(responsesDialect, base);
    const chunks = chunksOf({ text: ['x'] });
    expect(tell(stream, chunks.slice(0, 1))).toBe('');
    const nameless = chunkOf({ delta: { tool_calls: [{ index: 0, function: { arguments: '{' } }] } });
    expect(() => stream.chunk(nameless)).toThrow(CortexError);
    expect(eventsIn(textFor(stream, chunks))[0]?.data).toMatchObject({ type: 'response.created', sequence_number: 0 });
  });
});

describe('a silent stream', () => {
  it('is kept alive by comments alone', () => {
    const stream = streamOf(responsesDialect, base);
    expect(stream.keepalive({ kind: 'queued', position: 2 })).toBe(': queued, position 2\n\n');
  });
});

describe('a stream that fails', () => {
  it('ends in response.failed with what there was, and nothing after it', () => {
    const stream = streamOf(responsesDialect, base);
    const chunks = chunksOf({ reasoning: ['why not'], text: ['Hel', 'lo'] }).slice(0, -3);
    const failed = eventsIn(tell(stream, chunks) + stream.fail(new CortexError('upstream_disconnected', 'gone')));
    expect(failed.at(-1)).toEqual({
      event: 'response.failed',
      data: {
        type: 'response.failed',
        sequence_number: failed.length - 1,
        response: response('failed', [reasoning, message('msg_1_1', 'incomplete', 'Hel')], {
          error: { code: 'upstream_disconnected', message: 'gone' },
        }),
      },
    });
  });

  it('before its beginning begins first', () => {
    const failed = eventsIn(streamOf(responsesDialect, base).fail(new CortexError('model_loading', 'too long')));
    expect(failed.map(({ data }) => [data['type'], data['sequence_number']])).toEqual([
      ['response.created', 0],
      ['response.failed', 1],
    ]);
  });

  it('is one whose node says it is done without saying why', () => {
    const stream = streamOf(responsesDialect, base);
    tell(stream, chunksOf({ text: ['x'] }).slice(0, 2));
    expect(() => stream.end()).toThrow(expect.objectContaining({ code: 'upstream_error' }));
  });

  it('is one with a call that goes on after it was whole', () => {
    const stream = streamOf(responsesDialect, base);
    const piece = (index: number): string =>
      stream.chunk(
        chunkOf({ delta: { tool_calls: [{ index, id: `c${index}`, function: { name: 'f', arguments: '{}' } }] } }),
      );
    expect(() => [0, 1, 0].map(piece)).toThrow(expect.objectContaining({ code: 'upstream_error' }));
  });
});

describe('a whole response', () => {
  it.each<[ScriptedAnswer]>([
    [{ text: ['Hello'] }],
    [{ reasoning: ['why'], text: ['I look.'], calls: [{ id: 'c', name: 'read', pieces: ['{}'] }] }],
    [{ text: ['Hel'], finish: 'length' }],
    [{}],
  ])('is what the stream of %j ends with', (answer) => {
    const last = events(answer).at(-1);
    expect(answerFor(responsesDialect, base, completionOf(answer))).toEqual(last?.['response']);
  });

  it('is not made of something that is no completion', () => {
    expect(() => answerFor(responsesDialect, base, { choices: [] })).toThrow(
      expect.objectContaining({ code: 'upstream_error' }),
    );
  });
});
