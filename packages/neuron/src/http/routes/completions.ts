/** `POST /v1/completions`. */
import { completionRequestSchema, parseRequest } from '@cortex/core';
import { answerCompletion } from '../answer-completion.ts';
import type { Route } from '../context.ts';
import { collectCompletion, CompletionChunkBuilder } from '../openai-completion-response.ts';

export const completionsRoute: Route = {
  method: 'POST',
  url: '/v1/completions',
  inference: 'completions',
  handle: (context, request, reply) => {
    const body = parseRequest(completionRequestSchema, request.body);
    return answerCompletion(context, request, reply, body, {
      idPrefix: 'cmpl-',
      start: (call) => context.harness.complete(body, call),
      newBuilder: (identity, options) => new CompletionChunkBuilder(identity, options),
      collect: collectCompletion,
    });
  },
};
