import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CortexError, type ChatChunk } from '@cortex/core';
import { readChunk, readCompletion } from './chat-answer.ts';

const chunk = (choice: unknown, more: object = {}): ChatChunk =>
  ({ choices: [choice], ...more }) as unknown as ChatChunk;

/** Anything else that is thrown fails the test. */
const readOrRefused = (one: ChatChunk): boolean => {
  try {
    return readChunk(one).pieces.every((piece) => piece.kind === 'call' || piece.text !== '');
  } catch (error) {
    if (error instanceof CortexError) return true;
    throw error;
  }
};

describe('a chunk', () => {
  it.each([
    [{ reasoning: 'newer name' }, [{ kind: 'reasoning', text: 'newer name' }]],
    [{ reasoning: 'both', reasoning_content: 'both' }, [{ kind: 'reasoning', text: 'both' }]],
    [
      { content: 'a', reasoning_content: 'b' },
      [
        { kind: 'reasoning', text: 'b' },
        { kind: 'text', text: 'a' },
      ],
    ],
    [{ refusal: 'no' }, [{ kind: 'text', text: 'no' }]],
    [
      { tool_calls: [{ function: { name: 'f', arguments: { a: 1 } } }] },
      [{ kind: 'call', index: 0, id: null, name: 'f', arguments: '{"a":1}' }],
    ],
  ])('with %j is read', (delta, pieces) => {
    expect(readChunk(chunk({ delta })).pieces).toEqual(pieces);
  });

  it('of another choice is not the answer', () => {
    expect(readChunk(chunk({ index: 1, delta: { content: 'x' }, finish_reason: 'stop' }))).toMatchObject({
      pieces: [],
      finish: null,
    });
  });

  it.each([
    [{ stop_reason: 'END' }, 'END'],
    [{ matched_stop: 'END' }, 'END'],
    [{ stop_reason: 151645 }, null],
    [{}, null],
  ])('that ends with %j stopped at %j', (member, stopString) => {
    expect(readChunk(chunk({ delta: {}, finish_reason: 'stop', ...member })).finish).toEqual({
      reason: 'stop',
      stopString,
    });
  });

  it('never counts more cached tokens than the prompt has', () => {
    const usage = { prompt_tokens: 5, prompt_tokens_details: { cached_tokens: 9 } };
    expect(readChunk(chunk(null, { usage })).usage).toEqual({ prompt: 5, cached: 5, completion: 0, reasoning: null });
  });

  it('of any JSON at all is read or refused in the words of the error table', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (choice, usage) => {
        expect(readOrRefused(chunk(choice, { usage, created: choice }))).toBe(true);
      }),
    );
  });
});

describe('a completion', () => {
  it('without an end is none', () => {
    expect(() => readCompletion({ choices: [{ message: { content: 'x' } }] })).toThrow(CortexError);
  });
});
