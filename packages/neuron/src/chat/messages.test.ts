import { chatRequestSchema, CortexError, type ChatMessage } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { countImages, toTemplateMessages } from './messages.ts';

const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } } as const;

const call = (text: string): ChatMessage => ({
  role: 'assistant',
  content: null,
  tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: text } }],
});

const parsed = (messages: unknown): ChatMessage[] => chatRequestSchema.parse({ model: 'm', messages }).messages;

describe('toTemplateMessages', () => {
  it('keeps parts in order, and gives templates the place of an image without its bytes', () => {
    const messages = parsed([
      { role: 'user', content: [{ type: 'text', text: 'a' }, image, { type: 'text', text: 'b' }, image] },
    ]);
    const converted = toTemplateMessages(messages);
    expect(converted).toEqual([
      {
        role: 'user',
        content: [{ type: 'text', text: 'a' }, { type: 'image' }, { type: 'text', text: 'b' }, { type: 'image' }],
      },
    ]);
    expect(countImages(converted)).toBe(2);
  });

  it('makes developers speak as the system, and null content empty text', () => {
    const messages = parsed([
      { role: 'developer', content: 'rules', name: 'ops' },
      { role: 'assistant', content: null },
      { role: 'assistant' },
    ]);
    expect(toTemplateMessages(messages)).toEqual([
      { role: 'system', content: 'rules', name: 'ops' },
      { role: 'assistant', content: '' },
      { role: 'assistant', content: '' },
    ]);
  });

  it('passes reasoning and refusals on as text', () => {
    const messages = parsed([
      { role: 'assistant', reasoning_content: 'why', content: [{ type: 'refusal', refusal: 'I will not.' }] },
    ]);
    expect(toTemplateMessages(messages)).toEqual([
      { role: 'assistant', content: [{ type: 'text', text: 'I will not.' }], reasoning_content: 'why' },
    ]);
  });

  it('turns arguments of tool calls into mappings', () => {
    const messages = [
      call('{"city": "Paris", "days": 2}'),
      { role: 'tool', tool_call_id: 'c1', content: [{ type: 'text', text: '12' }, image] },
    ];
    expect(toTemplateMessages(parsed(messages))).toEqual([
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: { city: 'Paris', days: 2 } } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: [{ type: 'text', text: '12' }, { type: 'image' }] },
    ]);
  });

  it('takes an empty string as no arguments, and an empty list as no calls', () => {
    expect(toTemplateMessages([call(' ')])[0]?.tool_calls?.[0]?.function.arguments).toEqual({});
    expect(toTemplateMessages([{ role: 'assistant', content: 'x', tool_calls: [] }])).toEqual([
      { role: 'assistant', content: 'x' },
    ]);
  });

  it.each(['{"a":', '[1]', '3', 'null', '"text"'])('refuses %s as arguments, naming the field', (text) => {
    const convert = (): unknown => toTemplateMessages([{ role: 'user', content: 'x' }, call(text)]);
    expect(convert).toThrow(CortexError);
    expect(convert).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'messages[1].tool_calls[0].function.arguments' }),
    );
  });
});
