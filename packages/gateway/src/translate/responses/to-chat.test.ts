import { describe, expect, it } from 'vitest';
import { askedOf } from '../../../test/translate/run-dialect.ts';
import type { JsonObject } from '../contract.ts';
import { responsesDialect } from './dialect.ts';

const ask = (more: JsonObject = {}): JsonObject => askedOf(responsesDialect, { model: 'm', input: 'hi', ...more });
const messagesOf = (input: unknown, more: JsonObject = {}): unknown => ask({ input, ...more })['messages'];
const fault = (body: JsonObject): unknown => {
  try {
    askedOf(responsesDialect, body);
  } catch (error) {
    return error;
  }
  throw new Error('translated');
};

const hi = { role: 'user', content: 'hi' };
const image = 'data:image/png;base64,iVBORw0KGgo=';

const developer = (text: string): JsonObject => ({
  type: 'message',
  role: 'developer',
  content: [{ type: 'input_text', text }],
});
const call = (id: string): JsonObject => ({ type: 'function_call', call_id: id, name: 'f', arguments: '{}' });
const output = (id: string, value: unknown): JsonObject => ({
  type: 'function_call_output',
  call_id: id,
  output: value,
});
const chatCall = (id: string): JsonObject => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } });
const reasoningOf = (item: JsonObject): unknown =>
  (messagesOf([{ type: 'reasoning', ...item }, call('a')]) as JsonObject[])[0]?.['reasoning_content'];

describe('the input', () => {
  it('is one user turn when it is a string, after the instructions', () => {
    expect(messagesOf('hi', { instructions: 'Be brief.' })).toEqual([{ role: 'system', content: 'Be brief.' }, hi]);
  });

  it("takes Codex's developer messages as one system turn at the front", () => {
    const input = [developer('A'), developer('B'), { role: 'user', content: [{ type: 'input_text', text: 'hi' }] }];
    expect(messagesOf(input, { instructions: 'I' })).toEqual([{ role: 'system', content: 'I\n\nA\n\nB' }, hi]);
  });

  it('keeps a later developer message where it stands', () => {
    expect(messagesOf([hi, { role: 'developer', content: 'now' }])).toEqual([hi, { role: 'system', content: 'now' }]);
  });

  it('keeps the order of texts and pictures', () => {
    const content = [
      { type: 'input_text', text: 'a' },
      { type: 'input_image', image_url: image, detail: 'original' },
      { type: 'input_text', text: 'b' },
    ];
    expect(messagesOf([{ role: 'user', content }])).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          { type: 'image_url', image_url: { url: image, detail: 'high' } },
          { type: 'text', text: 'b' },
        ],
      },
    ]);
  });

  it('gathers reasoning, words and calls of a turn in one message, and gives each result its own', () => {
    const input = [
      hi,
      { type: 'reasoning', id: 'rs', summary: [{ type: 'summary_text', text: 'why' }], encrypted_content: null },
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'I look.', annotations: [] }] },
      call('a'),
      call('b'),
      output('a', 'one'),
      output('b', [
        { type: 'input_text', text: 'see' },
        { type: 'input_image', image_url: image },
      ]),
      { type: 'message', role: 'assistant', content: 'Done.' },
    ];
    expect(messagesOf(input)).toEqual([
      hi,
      {
        role: 'assistant',
        content: 'I look.',
        reasoning_content: 'why',
        tool_calls: [chatCall('a'), chatCall('b')],
      },
      { role: 'tool', tool_call_id: 'a', content: 'one' },
      {
        role: 'tool',
        tool_call_id: 'b',
        content: [
          { type: 'text', text: 'see' },
          { type: 'image_url', image_url: { url: image } },
        ],
      },
      { role: 'assistant', content: 'Done.' },
    ]);
  });

  it('keeps results right after their calls where words came between', () => {
    expect(messagesOf([call('a'), { role: 'assistant', content: 'Calling.' }, output('a', 'x')])).toEqual([
      { role: 'assistant', content: 'Calling.', tool_calls: [chatCall('a')] },
      { role: 'tool', tool_call_id: 'a', content: 'x' },
    ]);
  });

  it('takes reasoning from its text, its sealed copy or its summary, in this order', () => {
    const sealed = `cortex1.${Buffer.from('sealed').toString('base64url')}`;
    const summary = [{ type: 'summary_text', text: 'summary' }];
    expect(reasoningOf({ summary, encrypted_content: sealed, content: [{ text: 'text' }] })).toBe('text');
    expect(reasoningOf({ summary, encrypted_content: sealed })).toBe('sealed');
    expect(reasoningOf({ summary, encrypted_content: "another's" })).toBe('summary');
    expect(reasoningOf({ summary: [] })).toBeUndefined();
  });

  it.each([
    [[{ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }], 'input[0].content[0]'],
    [[{ role: 'user', content: [{ type: 'input_audio', data: '' }] }], 'input[0].content[0]'],
    [[{ role: 'user', content: [{ type: 'input_image', file_id: 'f' }] }], 'input[0].content[0].image_url'],
    [[{ role: 'user', content: [{ type: 'input_hologram' }] }], 'input[0].content[0]'],
    [[output('a', [{ type: 'input_hologram' }])], 'input[0].output[0]'],
    [[{ type: 'item_reference', id: 'x' }], 'input[0]'],
  ])('that cannot be read is refused, never dropped: %j', (input, param) => {
    expect(fault({ model: 'm', input })).toMatchObject({ code: 'unsupported_parameter', param });
  });
});

describe('what needs a memory', () => {
  it.each([
    { previous_response_id: 'resp_1' },
    { conversation: { id: 'c' } },
    { prompt: { id: 'p' } },
    { background: true },
  ])('is refused: %j', (member) => {
    const [param] = Object.keys(member);
    expect(fault({ model: 'm', input: 'hi', ...member })).toMatchObject({ code: 'unsupported_parameter', param });
  });

  it('may be named as not wanted', () => {
    expect(ask({ previous_response_id: null, conversation: null, background: false, store: false })).toEqual({
      model: 'm',
      messages: [hi],
    });
  });
});

describe('tools', () => {
  const parameters = { type: 'object', properties: {} };
  const f = { type: 'function', name: 'f', description: 'd', parameters, strict: false };
  const chatF = { type: 'function', function: { name: 'f', description: 'd', parameters, strict: false } };

  it('are functions; namespaces, searches and others are left out', () => {
    const tools = [
      f,
      { type: 'namespace', name: 'n', tools: [f] },
      { type: 'web_search' },
      { type: 'custom', name: 'c' },
    ];
    expect(ask({ tools, tool_choice: 'auto', parallel_tool_calls: true })).toMatchObject({
      tools: [chatF],
      tool_choice: 'auto',
      parallel_tool_calls: true,
    });
  });

  it('leave no choice behind when none of them can be used', () => {
    expect(ask({ tools: [{ type: 'web_search' }], tool_choice: 'required', parallel_tool_calls: false })).toEqual({
      model: 'm',
      messages: [hi],
    });
  });

  it.each([
    ['none', 'none'],
    [
      { type: 'function', name: 'f' },
      { type: 'function', function: { name: 'f' } },
    ],
    [{ type: 'function', name: 'other' }, undefined],
    [{ type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'f' }] }, 'required'],
    [{ type: 'web_search_preview' }, undefined],
  ])('are chosen among by %j', (tool_choice, expected) => {
    expect(ask({ tools: [f], tool_choice })['tool_choice']).toEqual(expected);
  });

  it('are only those that are allowed', () => {
    const g = { type: 'function', name: 'g' };
    const tool_choice = { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'g' }] };
    expect(ask({ tools: [f, g], tool_choice })['tools']).toEqual([{ type: 'function', function: { name: 'g' } }]);
  });
});

describe('options', () => {
  it('map to their names in chat; those of the service are dropped', () => {
    const asked = ask({
      max_output_tokens: 9,
      temperature: 0,
      top_p: 0.5,
      prompt_cache_key: 'k',
      client_metadata: {},
      service_tier: 'auto',
      truncation: 'auto',
      include: ['reasoning.encrypted_content'],
    });
    expect(asked).toEqual({ model: 'm', messages: [hi], max_tokens: 9, temperature: 0, top_p: 0.5 });
  });

  it.each([
    [undefined, {}],
    [{}, {}],
    [{ summary: 'auto' }, { chat_template_kwargs: { enable_thinking: true } }],
    [{ effort: 'none', summary: 'auto' }, { chat_template_kwargs: { enable_thinking: false } }],
    [{ effort: 'high' }, { chat_template_kwargs: { enable_thinking: true }, reasoning_effort: 'high' }],
    [{ effort: 'xhigh' }, { chat_template_kwargs: { enable_thinking: true } }],
  ])('reasoning %j thinks with %j', (reasoning, expected) => {
    expect(ask({ reasoning })).toEqual({ model: 'm', messages: [hi], ...expected });
  });

  it.each([
    [{ type: 'text' }, undefined],
    [{ type: 'json_object' }, { type: 'json_object' }],
    [
      { type: 'json_schema', name: 'n', schema: { type: 'object' }, strict: true },
      { type: 'json_schema', json_schema: { name: 'n', schema: { type: 'object' }, strict: true } },
    ],
  ])('text.format %j is %j', (format, expected) => {
    expect(ask({ text: { format } })['response_format']).toEqual(expected);
  });

  it.each([
    [{ model: 'm' }, 'input'],
    [{ model: 'm', input: [] }, 'input'],
    [{ model: 'm', input: [{ role: 'tool', content: '' }] }, 'input[0].role'],
    [{ model: 'm', input: 'x', max_output_tokens: 0 }, 'max_output_tokens'],
    [{ model: 'm', input: 'x', text: { format: { type: 'grammar' } } }, 'text.format.type'],
  ])('that are wrong name their member: %j', (body, param) => {
    expect(fault(body)).toMatchObject({ code: 'invalid_request', param });
  });
});
