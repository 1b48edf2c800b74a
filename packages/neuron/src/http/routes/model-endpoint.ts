/** `GET /models/{id}/endpoint`: where this model's requests go, as seen from the caller. Ids contain slashes. */
import { CortexError } from '@cortex/core';
import type { FastifyRequest } from 'fastify';
import { requireModel, restOfPath, type Route } from '../context.ts';

const suffix = '/endpoint';
const hostAndPort = /^[\w.-]+(:\d+)?$|^\[[0-9a-fA-F:.]+\](:\d+)?$/;

/** The name under which the caller reached us; behind a NAT no address of our own would do. */
const ownUrl = (request: FastifyRequest): string => {
  if (hostAndPort.test(request.host)) return `http://${request.host}`;
  const { localAddress = '127.0.0.1', localPort } = request.socket;
  return `http://${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${localPort}`;
};

export const modelEndpointRoute: Route = {
  method: 'GET',
  url: '/models/*',
  handle: async (context, request) => {
    const rest = restOfPath(request);
    if (!rest.endsWith(suffix)) throw new CortexError('not_found', 'did you mean /models/{id}/endpoint?');
    await requireModel(context, rest.slice(0, -suffix.length));
    return { url: ownUrl(request) };
  },
};
