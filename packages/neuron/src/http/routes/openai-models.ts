/** `GET /v1/models` in OpenAI's shape, with what a client needs to choose by beside it. */
import type { NodeModel } from '@cortex/core';
import type { Route, RouteContext } from '../context.ts';

export const openaiModel = (context: RouteContext, model: NodeModel): object => ({
  id: model.id,
  object: 'model',
  created: Math.floor(context.startedAt.getTime() / 1000),
  owned_by: model.id.includes('/') ? model.id.split('/')[0] : 'local',
  status: model.status,
  capabilities: model.capabilities,
  ...(model.limit === null || model.limit === undefined ? {} : { limit: model.limit }),
});

export const openaiModelsRoute: Route = {
  method: 'GET',
  url: '/v1/models',
  handle: async (context) => {
    const models = await context.harness.models();
    return {
      object: 'list',
      data: models.filter(({ servable }) => servable.ok).map((model) => openaiModel(context, model)),
    };
  },
};
