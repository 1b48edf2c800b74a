import { chatRequestSchema } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { extractImagesFromRequest, requestHasImages } from './image-parts.ts';

const image = (url: string): unknown => ({ type: 'image_url', image_url: { url, detail: 'high' } });

const conversation = chatRequestSchema.parse({
  model: 'm',
  messages: [
    { role: 'system', content: 'text only' },
    { role: 'user', content: [{ type: 'text', text: 'a' }, image('one'), { type: 'text', text: 'b' }, image('two')] },
    { role: 'assistant', content: null, tool_calls: [{ id: 'c', function: { name: 'f', arguments: '{}' } }] },
    { role: 'tool', tool_call_id: 'c', content: [image('three')] },
    { role: 'user', content: [{ type: 'image_url', image_url: 'four' }] },
    { role: 'user', content: [image('one')] },
  ],
});

const textOnly = chatRequestSchema.parse({
  model: 'm',
  messages: [
    { role: 'user', content: [{ type: 'text', text: 'https://example.com/image.png' }] },
    { role: 'assistant', content: null },
  ],
});

describe('extractImagesFromRequest', () => {
  it('lists urls in the order of the conversation, tool results and repeats included', () => {
    expect(extractImagesFromRequest(conversation)).toEqual(['one', 'two', 'three', 'four', 'one']);
  });

  it('finds none in text, whatever it says, nor without messages', () => {
    expect(extractImagesFromRequest(textOnly)).toEqual([]);
    expect(extractImagesFromRequest({ messages: null })).toEqual([]);
  });
});

describe('requestHasImages', () => {
  it('is true as soon as one part of any turn is an image', () => {
    expect(requestHasImages(conversation)).toBe(true);
    expect(requestHasImages({ messages: conversation.messages.slice(3, 4) })).toBe(true);
  });

  it('is false for text, whatever it says, and without messages', () => {
    expect(requestHasImages(textOnly)).toBe(false);
    expect(requestHasImages({})).toBe(false);
  });
});
