/** What the routes are given. The composition root makes it; no route reaches past it. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { CortexError } from '@cortex/core';
import type { Caller, KeyRing } from '../auth/key-ring.ts';
import type { KeyLimits } from '../auth/key-limits.ts';
import type { FleetControl } from '../fleet/contract.ts';
import type { GatewayMetrics } from '../metrics/gateway-metrics.ts';
import type { Observed } from '../observe/observed.ts';
import type { RequestRecord } from '../proxy/exchange.ts';
import type { ProxyParts } from '../proxy/forward.ts';
import type { Dialect } from '../translate/contract.ts';
import type { RunningRequests } from './running-requests.ts';

export interface GatewayVersion {
  readonly name: 'cortex';
  readonly version: string;
  readonly node: string;
}

export interface ServerParts {
  readonly proxy: ProxyParts;
  readonly control: FleetControl;
  readonly keys: KeyRing;
  readonly limits: KeyLimits;
  readonly metrics: GatewayMetrics;
  readonly log: Logger;
  readonly observed: Observed;
  readonly version: GatewayVersion;
  /** The protocol of each inference path, such as `/v1/messages`. */
  readonly dialects: Readonly<Record<string, Dialect>>;
}

export interface RouteContext extends ServerParts {
  readonly running: RunningRequests;
  readonly startedAt: Date;
  recordOf(request: FastifyRequest): RequestRecord;
  callerOf(request: FastifyRequest): Caller;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  /** `open`: no key asked for; `admin`: an admin's. */
  readonly access: 'open' | 'key' | 'admin';
  /** It ends only when its client leaves, which is no failure then. */
  readonly endless?: boolean;
  /** Whose error envelope its answers have; OpenAI's when left out. */
  readonly dialect?: Dialect;
  /** The answer as plain data; undefined once the reply was taken over. What is thrown becomes the error. */
  handle(context: RouteContext, request: FastifyRequest, reply: FastifyReply): unknown;
}

/** What stands where the route's url has `*`, decoded. */
export const restOfPath = (request: FastifyRequest): string => (request.params as { readonly '*': string })['*'];

/** A query parameter that is given at most once. @throws CortexError `invalid_request` */
export const queryText = (request: FastifyRequest, name: string): string | undefined => {
  const value = (request.query as Readonly<Record<string, unknown>>)[name];
  if (value === undefined || typeof value === 'string') return value;
  throw new CortexError('invalid_request', `${name}: given more than once`, { param: name });
};
