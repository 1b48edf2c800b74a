import { describe, expect, it } from 'vitest';
import { answerTokensMax } from './context-room.ts';

describe('the tokens an answer may have', () => {
  it.each([
    [10, null, 90],
    [10, 5, 5],
    [10, 90, 90],
    [10, 91, 90],
    [10, Number.MAX_SAFE_INTEGER, 90],
    [99, 1_000, 1],
  ])('of a context of 100: prompt %i, asked for %s', (nPrompt, asked, expected) => {
    expect(answerTokensMax(nPrompt, 100, asked, 'messages')).toBe(expected);
  });

  it.each([100, 101])('are none behind a prompt that fills the context, however few are asked for: %i', (nPrompt) => {
    expect(() => answerTokensMax(nPrompt, 100, 1, 'messages')).toThrow(
      expect.objectContaining({
        code: 'context_length_exceeded',
        param: 'messages',
        facts: { limit: 100, got: nPrompt },
        message: expect.stringMatching(new RegExp(`\\b${nPrompt} tokens\\b.*\\b100 tokens\\b`)),
      }),
    );
  });
});
