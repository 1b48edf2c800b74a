/** Every route of a neuron. A new one is a file beside this and a line here. */
import type { Route } from '../context.ts';
import { chatRoute } from './chat.ts';
import { completionsRoute } from './completions.ts';
import { discoveryRoute } from './discovery.ts';
import { embeddingsRoute } from './embeddings.ts';
import { healthRoute } from './health.ts';
import { loadModelRoute } from './load-model.ts';
import { metricsRoute } from './metrics.ts';
import { modelEndpointRoute } from './model-endpoint.ts';
import { modelsRoute } from './models.ts';
import { openaiModelRoute } from './openai-model.ts';
import { openaiModelsRoute } from './openai-models.ts';
import { tokenizeRoute } from './tokenize.ts';
import { unloadModelRoute } from './unload-model.ts';
import { versionRoute } from './version.ts';

export const routes: readonly Route[] = [
  versionRoute,
  discoveryRoute,
  healthRoute,
  metricsRoute,
  modelsRoute,
  modelEndpointRoute,
  loadModelRoute,
  unloadModelRoute,
  openaiModelsRoute,
  openaiModelRoute,
  chatRoute,
  completionsRoute,
  embeddingsRoute,
  tokenizeRoute,
];
