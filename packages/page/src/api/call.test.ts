import { describe, expect, it } from 'vitest';
import { errorOf } from './call.ts';

describe('an error of the API', () => {
  it('keeps its words, its code and its facts', () => {
    const body = {
      error: {
        message: 'm can not see',
        type: 'invalid_request_error',
        code: 'vision_unsupported',
        param: null,
        model_id: 'm',
      },
    };
    expect(errorOf(400, body)).toMatchObject({
      status: 400,
      code: 'vision_unsupported',
      message: 'm can not see',
      facts: { model_id: 'm' },
    });
  });

  it.each([null, 'text', [], { error: 'text' }, { error: { message: 7 } }])('is made of anything: %j', (body) => {
    expect(errorOf(502, body)).toMatchObject({ code: 'http_502', message: 'The gateway answered 502.' });
  });
});
