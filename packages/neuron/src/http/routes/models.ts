/** `GET /models`: every model of this host, loaded or on disk. */
import type { Route } from '../context.ts';

export const modelsRoute: Route = {
  method: 'GET',
  url: '/models',
  handle: (context) => context.harness.models(),
};
