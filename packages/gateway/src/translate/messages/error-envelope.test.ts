import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { toEnvelope } from './error-envelope.ts';

describe('an error in Anthropic’s envelope', () => {
  it('has our code and facts beside its own members', () => {
    const error = new CortexError('model_not_found', 'no such model', { facts: { model_id: 'm' }, param: 'model' });
    expect(toEnvelope(error, 'req_1')).toEqual({
      type: 'error',
      error: {
        type: 'not_found_error',
        message: 'no such model',
        code: 'model_not_found',
        param: 'model',
        model_id: 'm',
      },
      request_id: 'req_1',
    });
  });

  it('names what the client wrote, not what we made of it, where an engine takes no prefilled answer', () => {
    const refusal = new CortexError('unsupported_parameter', 'continue_final_message is not supported', {
      param: 'continue_final_message',
    });
    const { error } = toEnvelope(refusal);
    expect(error).toMatchObject({ type: 'invalid_request_error', code: 'unsupported_parameter', param: 'messages' });
    expect(error.message).toMatch(/^messages: .*assistant/);
  });
});
