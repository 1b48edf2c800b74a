/** `GET /discovery`: the host and its devices. */
import type { Route } from '../context.ts';

export const discoveryRoute: Route = {
  method: 'GET',
  url: '/discovery',
  handle: (context) => context.discover(),
};
