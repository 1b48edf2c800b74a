import { describe, expect, it } from 'vitest';
import { answerFor } from '../../../test/translate/run-dialect.ts';
import { countTokensDialect } from './dialect.ts';

const body = { model: 'm', messages: [{ role: 'user', content: 'hi' }] };

describe('a count', () => {
  it("is the node's own", () => {
    const answer = { count: 42, max_model_len: 4096, tokens: [] };
    expect(answerFor(countTokensDialect, body, answer)).toEqual({ input_tokens: 42 });
  });

  it.each([[{}], [{ count: '42' }], [{ count: -1 }], [{ count: 1.5 }], [null]])('is not made of %j', (answer) => {
    expect(() => answerFor(countTokensDialect, body, answer)).toThrow(
      expect.objectContaining({ code: 'upstream_error' }),
    );
  });
});
