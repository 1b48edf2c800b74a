/** What the routes are given. They know the engine as a `Harness` and nothing else of this package. */
import { CortexError, type DeviceHealth, type Discovery, type Harness, type Health } from '@cortex/core';
import type { NodeModel, Version } from '@cortex/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { CallRecord, InferenceRoute } from './call-record.ts';
import type { NeuronMetrics } from './metrics.ts';
import type { RunningCalls } from './running-calls.ts';

/** What the server is made of: the composition root gives these. */
export interface ServerParts {
  readonly harness: Harness;
  readonly version: Version;
  readonly log: Logger;
  discover(): Promise<Discovery>;
  deviceHealth(): Promise<readonly DeviceHealth[]>;
  /** How far the default models have come. */
  activation(): Health['activation'];
}

export interface RouteContext extends ServerParts {
  readonly calls: RunningCalls;
  readonly metrics: NeuronMetrics;
  readonly keepaliveMs: number;
  readonly stallMs: number;
  readonly startedAt: Date;
  recordOf(request: FastifyRequest): CallRecord;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  /** Under which its requests are counted, however they end; absent for what is no inference. */
  readonly inference?: InferenceRoute;
  /** The answer as plain data; undefined once the reply was taken over. What is thrown becomes the error. */
  handle(context: RouteContext, request: FastifyRequest, reply: FastifyReply): unknown;
}

/** What stands where the route's url has `*`, decoded. */
export const restOfPath = (request: FastifyRequest): string => (request.params as { readonly '*': string })['*'];

/** @throws CortexError `model_not_found` */
export const requireModel = async (context: RouteContext, id: string): Promise<NodeModel> => {
  const model = (await context.harness.models()).find((one) => one.id === id);
  if (model !== undefined) return model;
  throw new CortexError('model_not_found', `there is no model ${id} here`, { facts: { model_id: id } });
};
