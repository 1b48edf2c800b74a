/** What anyone may know without a key: that it runs, which version, and how many of its nodes answer. */
import type { Route } from '../context.ts';

export const healthRoute: Route = {
  method: 'GET',
  url: '/health',
  access: 'open',
  handle: (context, _request, reply) => {
    const nodes = context.control.nodeCounts();
    const status = context.running.draining ? 'draining' : nodes.up === 0 ? 'degraded' : 'ok';
    // A load balancer in front shall send nothing more to a gateway that is going away.
    void reply.code(status === 'draining' ? 503 : 200);
    return {
      status,
      uptime_secs: Math.round((Date.now() - context.startedAt.getTime()) / 1000),
      nodes,
      in_flight: context.running.count,
    };
  },
};

export const versionRoute: Route = {
  method: 'GET',
  url: '/version',
  access: 'open',
  handle: (context) => context.version,
};
