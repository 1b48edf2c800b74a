/** Every route of the gateway. A new one is a file beside this and a line here. */
import type { Dialect } from '../../translate/contract.ts';
import type { Route } from '../context.ts';
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
import { healthRoute, rootRoute, versionRoute } from './status.ts';

const fixedRoutes: readonly Route[] = [
  rootRoute,
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

export const allRoutes = (dialects: Readonly<Record<string, Dialect>>): readonly Route[] => [
  ...fixedRoutes,
  ...Object.entries(dialects).map(([url, dialect]) => inferenceRoute(url, dialect)),
];
