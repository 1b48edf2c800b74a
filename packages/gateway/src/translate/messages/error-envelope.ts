/** Anthropic's form of an error, in an answer or in a stream, with our code and facts beside its own members. */
import type { AnthropicError, CortexError } from '@cortex/core';

/** Claude Code compacts its conversation when it reads these words, and gives up when it does not. */
const tooLong = 'prompt is too long';

/** What a conversation that ends in the assistant's words became; see `to-chat.ts`. */
const prefill = 'continue_final_message';
const noPrefill = "messages: this model's engine cannot go on with an assistant's turn; end with a user's";

const messageOf = (error: CortexError): string => {
  if (error.code === 'unsupported_parameter' && error.param === prefill) return noPrefill;
  return error.code === 'context_length_exceeded' && !error.message.toLowerCase().startsWith(tooLong)
    ? `${tooLong}: ${error.message}`
    : error.message;
};

export const toEnvelope = (error: CortexError, requestId?: string): AnthropicError => ({
  type: 'error',
  error: {
    ...error.facts,
    ...(error.param === undefined ? {} : { param: error.param === prefill ? 'messages' : error.param }),
    type: error.row.anthropicType,
    message: messageOf(error),
    code: error.code,
  },
  ...(requestId === undefined ? {} : { request_id: requestId }),
});
