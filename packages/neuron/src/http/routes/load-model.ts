/** `POST /models/load`: starts a load, or joins the one that runs. */
import { setTimeout as delay } from 'node:timers/promises';
import { CortexError, loadRequestSchema, parseRequest, type LoadAnswer } from '@cortex/core';
import type { Route } from '../context.ts';

/** A load that fails at once (no such model, no memory) is told to the caller, not only to `GET /models`. */
const quickMs = 150;

export const loadModelRoute: Route = {
  method: 'POST',
  url: '/models/load',
  handle: async (context, request): Promise<LoadAnswer> => {
    const body = parseRequest(loadRequestSchema, request.body);
    context.recordOf(request).model = body.model_id;
    const { harness } = context;
    if (typeof body.harness === 'string' && body.harness !== harness.name) {
      throw new CortexError('invalid_request', `there is no harness ${body.harness} here, only ${harness.name}`, {
        param: 'harness',
      });
    }
    const loading = harness.load(body).then((): LoadAnswer => ({ status: 'loaded' }));
    if (body.wait === true) return loading;
    const answer = await Promise.race([loading, delay(quickMs, { status: 'loading' } as const)]);
    // Nobody waits for it any more: its failure is for the log and for `GET /models`.
    loading.catch((error: unknown) =>
      context.log.warn({ model: body.model_id, reason: CortexError.from(error).message }, 'load failed'),
    );
    return answer;
  },
};
