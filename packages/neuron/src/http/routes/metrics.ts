/** `GET /metrics`: Prometheus. */
import type { Route } from '../context.ts';

export const metricsRoute: Route = {
  method: 'GET',
  url: '/metrics',
  handle: async (context, _request, reply) => {
    const text = await context.metrics.text();
    return reply.type(context.metrics.contentType).send(text);
  },
};
