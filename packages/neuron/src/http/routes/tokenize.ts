/** `POST /tokenize`: how many tokens a text or a conversation would be. */
import { parseRequest, tokenizeRequestSchema } from '@cortex/core';
import type { Route } from '../context.ts';

export const tokenizeRoute: Route = {
  method: 'POST',
  url: '/tokenize',
  inference: 'tokenize',
  handle: (context, request, reply) => {
    const body = parseRequest(tokenizeRequestSchema, request.body);
    context.recordOf(request).begin(body.model, false);
    return context.calls.run(reply.raw, () => context.harness.tokenize(body));
  },
};
