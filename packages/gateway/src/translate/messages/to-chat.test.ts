import { describe, expect, it } from 'vitest';
import { askedOf } from '../../../test/translate/run-dialect.ts';
import type { JsonObject } from '../contract.ts';
import { countTokensDialect, messagesDialect } from './dialect.ts';

const base = { model: 'm', max_tokens: 64 };
const hi = { role: 'user', content: 'hi' };
const ask = (more: JsonObject = {}): JsonObject => askedOf(messagesDialect, { ...base, messages: [hi], ...more });
const messagesOf = (messages: unknown, more: JsonObject = {}): unknown => ask({ messages, ...more })['messages'];
const fault = (body: JsonObject): unknown => {
  try {
    askedOf(messagesDialect, body);
  } catch (error) {
    return error;
  }
  throw new Error('translated');
};

const png = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } };
const pngPart = { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } };

describe('the system prompt', () => {
  it('is a string or the texts of its blocks, unchanged', () => {
    expect(messagesOf([hi], { system: ' Be brief.\n' })).toEqual([{ role: 'system', content: ' Be brief.\n' }, hi]);
    const system = [
      { type: 'text', text: 'One.', cache_control: { type: 'ephemeral' } },
      { type: 'text', text: '\nTwo.' },
    ];
    expect(messagesOf([hi], { system })).toEqual([
      {
        role: 'system',
        content: [
          { type: 'text', text: 'One.' },
          { type: 'text', text: '\nTwo.' },
        ],
      },
      hi,
    ]);
  });

  it('is left out when it is empty', () => {
    expect(messagesOf([hi], { system: '' })).toEqual([hi]);
    expect(messagesOf([hi], { system: [{ type: 'text', text: '' }] })).toEqual([hi]);
  });

  it('keeps a later system turn where it stands, word for word', () => {
    const late = { role: 'system', content: [{ type: 'text', text: 'Now in plan mode.' }] };
    expect(messagesOf([hi, late], { system: 'S' })).toEqual([
      { role: 'system', content: 'S' },
      hi,
      { role: 'system', content: 'Now in plan mode.' },
    ]);
  });

  it('joins system turns at the very front into one', () => {
    expect(messagesOf([{ role: 'system', content: 'B' }, hi], { system: 'A' })).toEqual([
      { role: 'system', content: 'A\n\nB' },
      hi,
    ]);
  });
});

describe("Claude Code's billing line", () => {
  const billing = 'x-anthropic-billing-header: cc_version=2.1.9; cc_entrypoint=cli; cch=1a2b;';
  const rest = [
    { type: 'text', text: 'You are an agent.', cache_control: { type: 'ephemeral' } },
    { type: 'text', text: 'Rules.' },
  ];

  it('leaves the prompt for the metadata, so that two requests share their whole prefix', () => {
    const first = ask({ system: [{ type: 'text', text: billing }, ...rest] });
    const second = ask({ system: [{ type: 'text', text: billing.replace('1a2b', '3c4d') }, ...rest] });
    expect(first['messages']).toEqual(second['messages']);
    expect(JSON.stringify(first['messages'])).not.toContain('billing');
    expect(first['metadata']).toEqual({
      'x-anthropic-billing-header': 'cc_version=2.1.9; cc_entrypoint=cli; cch=1a2b;',
    });
  });

  it('takes nothing else of its block or string with it', () => {
    expect(messagesOf([hi], { system: `${billing}\n Keep me.` })).toEqual([
      { role: 'system', content: ' Keep me.' },
      hi,
    ]);
    const block = [{ type: 'text', text: `${billing}\nKeep me.` }];
    expect(messagesOf([hi], { system: block })).toEqual([{ role: 'system', content: 'Keep me.' }, hi]);
  });

  it('stays where it is not at the front', () => {
    const system = `Quote: ${billing}`;
    expect(messagesOf([hi], { system })).toEqual([{ role: 'system', content: system }, hi]);
    expect(ask({ system })).not.toHaveProperty('metadata');
  });

  it('is not counted', () => {
    const body = { model: 'm', messages: [hi], system: [{ type: 'text', text: billing }, ...rest] };
    expect(JSON.stringify(askedOf(countTokensDialect, body))).not.toContain('billing');
  });
});

describe('content', () => {
  it('keeps the order of texts and pictures, base64 and linked', () => {
    const url = { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } };
    const content = [{ type: 'text', text: 'a' }, png, { type: 'text', text: 'b' }, url];
    expect(messagesOf([{ role: 'user', content }])).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'a' },
          pngPart,
          { type: 'text', text: 'b' },
          { type: 'image_url', image_url: { url: 'https://example.com/a.png' } },
        ],
      },
    ]);
  });

  it('shows the text of documents and search results', () => {
    const content = [
      { type: 'document', title: 'T', source: { type: 'text', media_type: 'text/plain', data: 'body' } },
      { type: 'document', source: { type: 'content', content: [{ type: 'text', text: 'inner' }, png] } },
      { type: 'document', source: { type: 'base64', media_type: 'text/plain', data: 'aGVsbG8=' } },
      { type: 'search_result', title: 'S', source: 'https://s', content: [{ type: 'text', text: 'found' }] },
    ];
    expect(messagesOf([{ role: 'user', content }])).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'T\n' },
          { type: 'text', text: 'body' },
          { type: 'text', text: 'inner' },
          pngPart,
          { type: 'text', text: 'hello' },
          { type: 'text', text: 'S\nhttps://s\n' },
          { type: 'text', text: 'found' },
        ],
      },
    ]);
  });

  it.each([
    [{ type: 'image', source: { type: 'file', file_id: 'f' } }, 'messages[0].content[0].source'],
    [
      { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'AA==' } },
      'messages[0].content[0].source',
    ],
    [{ type: 'document', source: { type: 'url', url: 'https://x/y.pdf' } }, 'messages[0].content[0].source'],
    [{ type: 'hologram', data: 1 }, 'messages[0].content[0]'],
    [{ type: 'tool_result', tool_use_id: 't', content: [{ type: 'hologram' }] }, 'messages[0].content[0].content[0]'],
  ])('that cannot be read is refused, never dropped: %j', (block, param) => {
    expect(fault({ ...base, messages: [{ role: 'user', content: [block] }] })).toMatchObject({
      code: 'unsupported_parameter',
      param,
    });
  });

  it('without a media type or with one that is none is an error', () => {
    const source = { type: 'base64', media_type: 'png;base64,x', data: '' };
    expect(fault({ ...base, messages: [{ role: 'user', content: [{ type: 'image', source }] }] })).toMatchObject({
      code: 'invalid_request',
      param: 'messages[0].content[0].source.media_type',
    });
  });
});

describe('calls and results', () => {
  const call = { type: 'tool_use', id: 'toolu_1', name: 'read', input: { path: '/a' } };
  const callMessage = {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'toolu_1', type: 'function', function: { name: 'read', arguments: '{"path":"/a"}' } }],
  };

  it('become an assistant turn and one message for each result, with what else was said after them', () => {
    const assistant = {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'hm', signature: 's' },
        { type: 'redacted_thinking', data: 'x' },
        { type: 'text', text: 'Reading ' },
        { type: 'text', text: 'it.' },
        call,
        { ...call, id: 'toolu_2', input: {} },
      ],
    };
    const results = {
      role: 'user',
      content: [
        { type: 'text', text: 'go on' },
        { type: 'tool_result', tool_use_id: 'toolu_1', content: 'text' },
        { type: 'tool_result', tool_use_id: 'toolu_2' },
      ],
    };
    expect(messagesOf([hi, assistant, results])).toEqual([
      hi,
      {
        role: 'assistant',
        content: 'Reading it.',
        reasoning_content: 'hm',
        tool_calls: [
          callMessage.tool_calls[0],
          { id: 'toolu_2', type: 'function', function: { name: 'read', arguments: '{}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'toolu_1', content: 'text' },
      { role: 'tool', tool_call_id: 'toolu_2', content: '' },
      { role: 'user', content: 'go on' },
    ]);
  });

  it('keep the pictures inside a result', () => {
    const content = [{ type: 'text', text: 'a screenshot' }, png];
    const result = { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content }] };
    expect(messagesOf([hi, { role: 'assistant', content: [call] }, result])).toEqual([
      hi,
      callMessage,
      { role: 'tool', tool_call_id: 'toolu_1', content: [{ type: 'text', text: 'a screenshot' }, pngPart] },
    ]);
  });

  it('name the tools that a search among them has found', () => {
    const content = [{ type: 'tool_reference', tool_name: 'read' }];
    const result = { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content }] };
    expect(messagesOf([hi, { role: 'assistant', content: [call] }, result])).toEqual([
      hi,
      callMessage,
      { role: 'tool', tool_call_id: 'toolu_1', content: 'read' },
    ]);
  });

  it.each([
    ['no such file', 'Error: no such file'],
    [[{ type: 'text', text: 'bad' }], 'Error: bad'],
    [[png], [{ type: 'text', text: 'Error: ' }, pngPart]],
    [undefined, 'Error: '],
  ])('tell the model that a call failed: %j', (content, expected) => {
    const result = { type: 'tool_result', tool_use_id: 't', is_error: true, ...(content && { content }) };
    expect(messagesOf([{ role: 'user', content: [result] }])).toEqual([
      { role: 'tool', tool_call_id: 't', content: expected },
    ]);
  });

  it('skip blocks of server tools, and turns that held nothing else', () => {
    const server = [
      { type: 'server_tool_use', id: 's', name: 'web_search', input: {} },
      { type: 'web_search_tool_result', tool_use_id: 's', content: [] },
    ];
    expect(messagesOf([hi, { role: 'assistant', content: server }, hi])).toEqual([hi, hi]);
  });
});

describe('tools', () => {
  const tool = { name: 'f', description: 'd', input_schema: { type: 'object' }, cache_control: { type: 'ephemeral' } };
  const chatTool = { type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' } } };

  it('are functions; those of the server are left out', () => {
    const tools = [tool, { type: 'web_search_20250305', name: 'web_search' }, { type: 'bash_20250124', name: 'bash' }];
    expect(ask({ tools })['tools']).toEqual([chatTool]);
  });

  it.each([
    [{ type: 'auto' }, 'auto', undefined],
    [{ type: 'any', disable_parallel_tool_use: true }, 'required', false],
    [{ type: 'tool', name: 'f' }, { type: 'function', function: { name: 'f' } }, undefined],
    [{ type: 'tool', name: 'web_search' }, undefined, undefined],
    [{ type: 'none' }, 'none', undefined],
  ])('are chosen among by %j', (tool_choice, expected, parallel) => {
    const asked = ask({ tools: [tool], tool_choice });
    expect(asked['tool_choice']).toEqual(expected);
    expect(asked['parallel_tool_calls']).toBe(parallel);
  });

  it('leave no choice behind when none of them can be used', () => {
    const asked = ask({ tools: [{ type: 'web_search_20250305', name: 'w' }], tool_choice: { type: 'any' } });
    expect(asked).not.toHaveProperty('tools');
    expect(asked).not.toHaveProperty('tool_choice');
  });
});

describe('thinking', () => {
  it.each([
    [undefined, { enable_thinking: false }],
    [{ type: 'disabled' }, { enable_thinking: false }],
    [{ type: 'adaptive' }, { enable_thinking: true }],
    [
      { type: 'enabled', budget_tokens: 2048 },
      { enable_thinking: true, thinking_budget: 2048 },
    ],
  ])('%j sets the template to %j', (thinking, kwargs) => {
    expect(ask({ thinking })['chat_template_kwargs']).toEqual(kwargs);
    expect(ask({ thinking })['thinking_budget_tokens']).toBe('thinking_budget' in kwargs ? 2048 : undefined);
  });

  it('that was hidden from the client comes back from its signature', () => {
    const content = [
      { type: 'thinking', thinking: '', signature: `cortex1.${Buffer.from('secretly').toString('base64url')}` },
      { type: 'thinking', thinking: '', signature: "someone else's" },
      { type: 'text', text: 'done' },
    ];
    expect(messagesOf([hi, { role: 'assistant', content }, hi])).toEqual([
      hi,
      { role: 'assistant', content: 'done', reasoning_content: 'secretly' },
      hi,
    ]);
  });
});

describe('options', () => {
  it('map to their names in chat; those of the service are dropped', () => {
    const asked = ask({
      temperature: 0,
      top_p: 0.9,
      top_k: 20,
      stop_sequences: ['END'],
      metadata: { user_id: '{"session":1}' },
      service_tier: 'auto',
      context_management: { edits: [] },
      output_config: { effort: 'high' },
    });
    expect(asked).toEqual({
      model: 'm',
      messages: [hi],
      max_tokens: 64,
      temperature: 0,
      top_p: 0.9,
      top_k: 20,
      stop: ['END'],
      chat_template_kwargs: { enable_thinking: false },
    });
  });

  it('ask a stream for its figures from the first chunk on', () => {
    expect(ask({ stream: true })).toMatchObject({
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
    });
    expect(ask({ stream: false })).not.toHaveProperty('stream');
  });

  it('take a JSON schema for the answer, also under its beta name', () => {
    const format = { type: 'json_schema', schema: { type: 'object' } };
    const expected = { type: 'json_schema', json_schema: { name: 'output', schema: { type: 'object' }, strict: true } };
    expect(ask({ output_config: { format } })['response_format']).toEqual(expected);
    expect(ask({ output_format: format })['response_format']).toEqual(expected);
  });

  it("continue the assistant's own words", () => {
    const prefill = { role: 'assistant', content: '{' };
    expect(ask({ messages: [hi, prefill] })).toMatchObject({
      messages: [hi, prefill],
      continue_final_message: true,
      add_generation_prompt: false,
    });
    expect(ask({ messages: [hi] })).not.toHaveProperty('continue_final_message');
  });

  it.each([
    [{ model: 'm', messages: [hi] }, 'max_tokens'],
    [{ ...base, messages: [] }, 'messages'],
    [{ ...base, messages: [{ role: 'tool', content: '' }] }, 'messages[0].role'],
    [{ ...base, messages: [hi], system: 3 }, 'system'],
    [{ ...base, messages: [hi], stop_sequences: [''] }, 'stop_sequences[0]'],
    [{ max_tokens: 1, messages: [hi] }, 'model'],
  ])('that are wrong name their member: %j', (body, param) => {
    expect(fault(body)).toMatchObject({ code: 'invalid_request', param });
  });
});

describe('counting', () => {
  it('asks for the tokens of the very prompt, with tools, pictures and thinking', () => {
    const body = {
      model: 'm',
      system: 'S',
      messages: [{ role: 'user', content: [png] }],
      tools: [{ name: 'f', input_schema: {} }],
      thinking: { type: 'adaptive' },
    };
    const chat = ask(body);
    expect(askedOf(countTokensDialect, body)).toEqual({
      model: 'm',
      messages: chat['messages'],
      tools: chat['tools'],
      chat_template_kwargs: { enable_thinking: true },
      add_generation_prompt: true,
    });
  });

  it('leaves out tools that may not be used, as the prompt does', () => {
    const body = {
      model: 'm',
      messages: [hi],
      tools: [{ name: 'f', input_schema: {} }],
      tool_choice: { type: 'none' },
    };
    expect(askedOf(countTokensDialect, body)).not.toHaveProperty('tools');
  });
});
