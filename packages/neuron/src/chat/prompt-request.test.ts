import { chatRequestSchema, tokenizeRequestSchema } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { chatInput, tokenizeInput } from './prompt-request.ts';

const messages = [{ role: 'user', content: 'hi' }];
const tools = [{ type: 'function', function: { name: 'f' } }];
const chat = (fields: object): ReturnType<typeof chatInput> =>
  chatInput(chatRequestSchema.parse({ model: 'm', messages, ...fields }));

describe('chatInput', () => {
  it('asks for an answer, with the tools given', () => {
    expect(chat({ tools })).toEqual({ messages, tools, addGenerationPrompt: true, kwargs: {} });
  });

  it('hides the tools when none may be called', () => {
    expect(chat({ tools, tool_choice: 'none' }).tools).toEqual([]);
    expect(chat({ tools, tool_choice: 'required' }).tools).toEqual(tools);
    expect(chat({ tools: null }).tools).toEqual([]);
  });

  it('switches thinking by reasoning_effort, unless the template switch is set itself', () => {
    expect(chat({ reasoning_effort: 'none' }).kwargs).toMatchObject({ enable_thinking: false });
    expect(chat({ reasoning_effort: 'high' }).kwargs).toEqual({ enable_thinking: true, reasoning_effort: 'high' });
    const both = { reasoning_effort: 'high', chat_template_kwargs: { enable_thinking: false, more: [1] } };
    expect(chat(both).kwargs).toEqual({ enable_thinking: false, reasoning_effort: 'high', more: [1] });
  });
});

describe('tokenizeInput', () => {
  it('is the prompt of a chat with the same messages, with or without the start of an answer', () => {
    const request = tokenizeRequestSchema.parse({ model: 'm', messages, tools, chat_template_kwargs: { a: 1 } });
    expect(tokenizeInput(request)).toEqual({ messages, tools, addGenerationPrompt: true, kwargs: { a: 1 } });
    expect(tokenizeInput({ ...request, add_generation_prompt: false }).addGenerationPrompt).toBe(false);
  });
});
