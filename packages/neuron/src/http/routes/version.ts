/** `GET /version`: what is running here. */
import type { Route } from '../context.ts';

export const versionRoute: Route = {
  method: 'GET',
  url: '/version',
  handle: (context) => context.version,
};
