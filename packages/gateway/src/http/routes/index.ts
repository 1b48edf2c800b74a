/** Every route of the gateway. A new one is a file beside this and a line here. */
import type { Dialect } from '../../translate/contract.ts';
import type { Route } from '../context.ts';
import type { PageFiles } from '../page-files.ts';
import { eventsRoute } from './events.ts';
import {
  drainRoute,
  explainRoute,
  fleetRoute,
  loadModelRoute,
  pinModelRoute,
  undrainRoute,
  unloadModelRoute,
} from './fleet.ts';
import { inferenceRoute } from './inference.ts';
import { listModelsRoute, oneModelRoute } from './models.ts';
import { pageRoutes } from './page.ts';
import { healthRoute, versionRoute } from './status.ts';

const fixedRoutes: readonly Route[] = [
  healthRoute,
  versionRoute,
  listModelsRoute,
  oneModelRoute,
  fleetRoute,
  explainRoute,
  loadModelRoute,
  unloadModelRoute,
  pinModelRoute,
  drainRoute,
  undrainRoute,
];

export const allRoutes = (dialects: Readonly<Record<string, Dialect>>, page: PageFiles): readonly Route[] => [
  ...pageRoutes(page),
  eventsRoute(),
  ...fixedRoutes,
  ...Object.entries(dialects).map(([url, dialect]) => inferenceRoute(url, dialect)),
];
