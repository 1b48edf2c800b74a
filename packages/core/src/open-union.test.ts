import { describe, expect, it } from 'vitest';
import { messagesRequestSchema } from './anthropic/request.ts';
import { parseRequest } from './parse.ts';
import { responsesRequestSchema } from './responses/request.ts';

const message = (content: unknown): unknown => ({
  model: 'm',
  max_tokens: 1,
  messages: [{ role: 'user', content }],
});
const fault = (parse: () => unknown): unknown => {
  try {
    parse();
  } catch (error) {
    return error;
  }
  throw new Error('parsed');
};

describe('a request of a later date', () => {
  it('passes with blocks, tools and members that are not known here', () => {
    const parsed = parseRequest(messagesRequestSchema, {
      ...(message([
        { type: 'text', text: 'a', cache_control: { type: 'ephemeral' } },
        { type: 'hologram', data: 1 },
      ]) as object),
      tools: [
        { type: 'web_search_20270101', name: 'web_search' },
        { name: 'f', input_schema: {} },
      ],
      tool_choice: { type: 'weighted' },
      thinking: { type: 'sometimes' },
      context_management: { edits: [{}] },
    });
    expect(parsed.messages[0]?.content).toEqual([
      { type: 'text', text: 'a' },
      { type: 'ignored', tag: 'hologram' },
    ]);
    expect(parsed.tools).toEqual([
      { type: 'ignored', tag: 'web_search_20270101' },
      { type: 'custom', name: 'f', input_schema: {} },
    ]);
    expect(parsed.tool_choice).toEqual({ type: 'ignored', tag: 'weighted' });
    expect(parsed).not.toHaveProperty('context_management');
  });

  it('passes with items of a kind that is not known here', () => {
    const parsed = parseRequest(responsesRequestSchema, {
      model: 'm',
      input: [
        { role: 'user', content: 'hi' },
        { type: 'web_search_call', id: 'x' },
      ],
      tools: [{ type: 'namespace', name: 'n', tools: [] }],
    });
    expect(parsed.input).toEqual([
      { type: 'message', role: 'user', content: 'hi' },
      { type: 'ignored', tag: 'web_search_call' },
    ]);
    expect(parsed.tools).toEqual([{ type: 'ignored', tag: 'namespace' }]);
  });
});

describe('a known block with wrong members', () => {
  it.each([
    [{ type: 'text' }, 'messages[0].content[0].text'],
    [{ type: 'image', source: { type: 'base64', data: 'AA' } }, 'messages[0].content[0].source.media_type'],
    [{ type: 'tool_use', id: 't', name: 'f', input: 'x' }, 'messages[0].content[0].input'],
    [{ type: 'tool_result', content: [{ type: 'text' }] }, 'messages[0].content[0].tool_use_id'],
  ])('is an error that names the member: %j', (block, param) => {
    expect(fault(() => parseRequest(messagesRequestSchema, message([block])))).toMatchObject({
      code: 'invalid_request',
      param,
    });
  });

  it('is an error in a Responses item too', () => {
    const input = [{ type: 'function_call', call_id: 'c', name: 'f', arguments: {} }];
    expect(fault(() => parseRequest(responsesRequestSchema, { model: 'm', input }))).toMatchObject({
      code: 'invalid_request',
      param: 'input[0].arguments',
    });
  });
});
