/** `/api`: what operators see of the fleet and do to it. Looking never asks a node, loads a model or counts as use. */
import type { FastifyRequest } from 'fastify';
import { CortexError, type JsonBody } from '@cortex/core';
import type { RouteRequest } from '../../fleet/contract.ts';
import type { JsonObject } from '../../translate/contract.ts';
import { queryText, type Route } from '../context.ts';

const unloadModes = ['refuse', 'wait', 'force'] as const;

const bodyOf = (request: FastifyRequest): JsonObject => (request.body as JsonBody | undefined)?.object ?? {};

/** @throws CortexError `invalid_request` */
const textMember = (body: JsonObject, name: string): string | undefined => {
  const value = body[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' && value !== '' && value.length <= 1024) return value;
  throw new CortexError('invalid_request', `${name}: expected a text`, { param: name });
};

const modelMember = (body: JsonObject): string => {
  const model = textMember(body, 'model_id');
  if (model === undefined) throw new CortexError('invalid_request', 'model_id: missing', { param: 'model_id' });
  return model;
};

const nodeOption = (body: JsonObject): { node?: string } => {
  const node = textMember(body, 'node');
  return node === undefined ? {} : { node };
};

/** Aborts when the client leaves: nobody waits for the load any more, which then goes on by itself. */
const untilGone = (request: FastifyRequest): AbortSignal => {
  const controller = new AbortController();
  request.raw.socket.once('close', () => controller.abort(new CortexError('client_closed_request', 'the client left')));
  return controller.signal;
};

export const fleetRoute: Route = {
  method: 'GET',
  url: '/api/fleet',
  access: 'key',
  handle: (context) => context.control.snapshot(),
};

const flag = (request: FastifyRequest, name: string): boolean => {
  const text = queryText(request, name) ?? 'false';
  if (['1', 'true', 'yes', ''].includes(text)) return true;
  if (['0', 'false', 'no'].includes(text)) return false;
  throw new CortexError('invalid_request', `${name}: expected true or false`, { param: name });
};

const count = (request: FastifyRequest, name: string): number => {
  const text = queryText(request, name) ?? '1';
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new CortexError('invalid_request', `${name}: expected a number of tokens`, { param: name });
};

/** `?model=…`, and of a request that would be made: `vision`, `tokens`, `exclude` (nodes, by comma). */
export const explainRoute: Route = {
  method: 'GET',
  url: '/api/route',
  access: 'key',
  handle: (context, request) => {
    const model = queryText(request, 'model') ?? '';
    if (model === '') throw new CortexError('invalid_request', 'model: missing', { param: 'model' });
    const caller = context.callerOf(request);
    const excluded = (queryText(request, 'exclude') ?? '').split(',').filter((name) => name !== '');
    const route: RouteRequest = {
      model,
      needsVision: flag(request, 'vision'),
      tokensMin: count(request, 'tokens'),
      clientId: caller.clientId,
      priority: caller.priority,
      excludedNodes: new Set(excluded),
    };
    return context.proxy.fleet.explain(route);
  },
};

export const loadModelRoute: Route = {
  method: 'POST',
  url: '/api/models/load',
  access: 'admin',
  handle: async (context, request) => {
    const body = bodyOf(request);
    const model = modelMember(body);
    const { node } = await context.control.load(model, { ...nodeOption(body), signal: untilGone(request) });
    return { status: 'loaded', model_id: model, node };
  },
};

/** `pinned`: true keeps it, false lets it go again, both over `pinned_on` until the gateway ends. */
export const pinModelRoute: Route = {
  method: 'POST',
  url: '/api/models/pin',
  access: 'admin',
  handle: (context, request) => {
    const body = bodyOf(request);
    const model = modelMember(body);
    const { pinned } = body;
    if (typeof pinned !== 'boolean')
      throw new CortexError('invalid_request', 'pinned: expected true or false', { param: 'pinned' });
    const { nodes } = context.control.pin(model, pinned, nodeOption(body));
    return { status: pinned ? 'pinned' : 'unpinned', model_id: model, nodes };
  },
};

export const unloadModelRoute: Route = {
  method: 'POST',
  url: '/api/models/unload',
  access: 'admin',
  handle: async (context, request) => {
    const body = bodyOf(request);
    const model = modelMember(body);
    const text = textMember(body, 'mode');
    const mode = unloadModes.find((one) => one === text);
    if (text !== undefined && mode === undefined)
      throw new CortexError('invalid_request', `mode: expected ${unloadModes.join(', ')}`, { param: 'mode' });
    const { nodes } = await context.control.unload(model, {
      ...nodeOption(body),
      ...(mode === undefined ? {} : { mode }),
    });
    return { status: 'unloaded', model_id: model, nodes };
  },
};

const nodeOf = (request: FastifyRequest): string => (request.params as { readonly name: string }).name;

export const drainRoute: Route = {
  method: 'POST',
  url: '/api/nodes/:name/drain',
  access: 'admin',
  handle: (context, request) => {
    context.control.drain(nodeOf(request));
    return { status: 'draining', node: nodeOf(request) };
  },
};

export const undrainRoute: Route = {
  method: 'POST',
  url: '/api/nodes/:name/undrain',
  access: 'admin',
  handle: (context, request) => {
    context.control.undrain(nodeOf(request));
    return { status: 'in_service', node: nodeOf(request) };
  },
};
