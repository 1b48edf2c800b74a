import { CortexError, errorTable, type ErrorCode } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { errorHeaders } from './error-reply.ts';

describe('the headers of an error', () => {
  it('say when to come again, or that it is no use: never both', () => {
    for (const code of Object.keys(errorTable) as ErrorCode[]) {
      const headers = errorHeaders(new CortexError(code, 'x'));
      const { retryable } = errorTable[code];
      expect({ code, again: headers['retry-after'], never: headers['x-should-retry'] }).toEqual({
        code,
        again: retryable ? '1' : undefined,
        never: retryable ? undefined : 'false',
      });
    }
  });
});
