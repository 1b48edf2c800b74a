/** `POST /v1/chat/completions`. */
import { chatRequestSchema, parseRequest } from '@cortex/core';
import { answerCompletion } from '../answer-completion.ts';
import type { Route } from '../context.ts';
import { ChatChunkBuilder, collectChat } from '../openai-chat-response.ts';

export const chatRoute: Route = {
  method: 'POST',
  url: '/v1/chat/completions',
  inference: 'chat',
  handle: (context, request, reply) => {
    const body = parseRequest(chatRequestSchema, request.body);
    return answerCompletion(context, request, reply, body, {
      idPrefix: 'chatcmpl-',
      start: (call) => context.harness.chat(body, call),
      newBuilder: (identity, options) => new ChatChunkBuilder(identity, options),
      collect: collectChat,
    });
  },
};
