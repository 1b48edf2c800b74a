/** `GET /v1/models` and `GET /v1/models/{id}`: what can be asked for, in the shape the client's protocol expects. */
import type { FastifyRequest } from 'fastify';
import { CortexError, type CatalogueModel } from '@cortex/core';
import type { RouteRequest } from '../../fleet/contract.ts';
import { queryText, restOfPath, type Route, type RouteContext } from '../context.ts';
import { gatewaysPassed } from '../via.ts';
import { anthropicModel, openAiModel } from './model-shapes.ts';

const createdSecs = (context: RouteContext): number => Math.floor(context.startedAt.getTime() / 1000);

const anyRequestFor = (model: string): RouteRequest => ({
  model,
  needsVision: false,
  tokensMin: 0,
  clientId: '',
  priority: 0,
  excludedNodes: new Set(),
});

const wantsAnthropic = (request: FastifyRequest): boolean => request.headers['anthropic-version'] !== undefined;

export const listModelsRoute: Route = {
  method: 'GET',
  url: '/v1/models',
  access: 'key',
  handle: (context, request) => {
    const models = context.control.models(gatewaysPassed(request.headers));
    const created = createdSecs(context);
    if (wantsAnthropic(request)) {
      const data = models.map((model) => anthropicModel(model, created));
      return { data, has_more: false, first_id: models[0]?.id ?? null, last_id: models.at(-1)?.id ?? null };
    }
    return {
      object: 'list',
      data: models.map((model) => openAiModel(model, created, context.proxy.via)),
      // Codex reads its own richer list under this name and refuses an answer without it; empty means "use your own".
      ...(queryText(request, 'client_version') === undefined ? {} : { models: [] }),
    };
  },
};

/** What a request would find, also by an alias with `*`, which no list can hold. */
const findModel = (context: RouteContext, name: string): CatalogueModel | null => {
  const models = context.control.models();
  const listed = models.find((model) => model.id === name);
  if (listed !== undefined) return listed;
  const resolved = context.proxy.fleet.explain(anyRequestFor(name)).resolvedModel;
  const target = models.find((model) => model.id === resolved);
  return target === undefined ? null : { ...target, id: name, alias_of: target.id };
};

export const oneModelRoute: Route = {
  method: 'GET',
  url: '/v1/models/*',
  access: 'key',
  handle: (context, request) => {
    const id = restOfPath(request);
    const model = findModel(context, id);
    if (model === null)
      throw new CortexError('model_not_found', `there is no model ${id.slice(0, 256)} here`, { param: 'model' });
    return wantsAnthropic(request)
      ? anthropicModel(model, createdSecs(context))
      : openAiModel(model, createdSecs(context), context.proxy.via);
  },
};
