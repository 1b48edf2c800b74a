/** `GET /v1/models/{id}`. Ids contain slashes, as they are or encoded. */
import { requireModel, restOfPath, type Route } from '../context.ts';
import { openaiModel } from './openai-models.ts';

export const openaiModelRoute: Route = {
  method: 'GET',
  url: '/v1/models/*',
  handle: async (context, request) => openaiModel(context, await requireModel(context, restOfPath(request))),
};
