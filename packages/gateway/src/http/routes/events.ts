/** `GET /api/events`: the gateway as it runs, as server-sent events, until the client leaves. Looking changes nothing. */
import { CortexError, sseHeaders } from '@cortex/core';
import type { Route } from '../context.ts';
import { FleetText } from '../fleet-text.ts';
import { WatchStream } from '../watch-stream.ts';

/** Each costs a timer and at most one unread piece of text. */
const watchersMax = 64;

export const eventsRoute = (): Route => {
  let nWatchers = 0;
  let fleet: FleetText | null = null;
  return {
    method: 'GET',
    url: '/api/events',
    access: 'key',
    endless: true,
    handle: (context, request, reply) => {
      if (nWatchers >= watchersMax)
        throw new CortexError('overloaded', `${watchersMax} pages are watching already`, { retryAfterSecs: 10 });
      fleet ??= new FleetText(() => context.control.snapshot());
      const caller = context.callerOf(request);
      reply.hijack();
      const { raw } = reply;
      nWatchers += 1;
      raw.once('close', () => {
        nWatchers -= 1;
      });
      raw.writeHead(200, { ...sseHeaders, 'x-request-id': request.id });
      const { version } = context.version;
      const hello = { version, admin: caller.admin, keys: context.keys.inUse };
      new WatchStream(raw, { observed: context.observed, fleet, caller, hello }).start();
    },
  };
};
