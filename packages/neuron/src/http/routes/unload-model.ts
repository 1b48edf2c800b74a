/** `POST /models/unload`: answers once the memory is free. */
import { parseRequest, unloadRequestSchema } from '@cortex/core';
import type { Route } from '../context.ts';

export const unloadModelRoute: Route = {
  method: 'POST',
  url: '/models/unload',
  handle: async (context, request) => {
    const body = parseRequest(unloadRequestSchema, request.body);
    context.recordOf(request).model = body.model_id;
    await context.harness.unload(body);
    return { status: 'unloaded' };
  },
};
