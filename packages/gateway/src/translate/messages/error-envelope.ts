/** Anthropic's form of an error, in an answer or in a stream, with our code and facts beside its own members. */
import type { AnthropicError, CortexError } from '@cortex/core';

/** Claude Code compacts its conversation when it reads these words, and gives up when it does not. */
const tooLong = 'prompt is too long';

const messageOf = (error: CortexError): string =>
  error.code === 'context_length_exceeded' && !error.message.toLowerCase().startsWith(tooLong)
    ? `${tooLong}: ${error.message}`
    : error.message;

export const toEnvelope = (error: CortexError, requestId?: string): AnthropicError => ({
  type: 'error',
  error: {
    ...error.facts,
    ...(error.param === undefined ? {} : { param: error.param }),
    type: error.row.anthropicType,
    message: messageOf(error),
    code: error.code,
  },
  ...(requestId === undefined ? {} : { request_id: requestId }),
});
