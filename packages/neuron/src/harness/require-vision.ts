/** Refuses pictures for a model that cannot see them, before anything is loaded, and names one that can. */
import { CortexError, type ChatMessage } from '@cortex/core';
import { requestHasImages } from '../chat/image-parts.ts';
import type { KnownModel } from './model-catalogue.ts';

interface WithMessages {
  readonly messages?: readonly ChatMessage[] | null | undefined;
}

const noneHere = 'use a model whose capabilities name vision';

/** A model here that sees: one that is loaded, else any that could be. */
const seeing = (models: readonly KnownModel[], isLoaded: (id: string) => boolean): string | null => {
  const able = models.filter(({ facts }) => facts.hasVision && facts.refusal === null);
  return (able.find(({ id }) => isLoaded(id)) ?? able[0])?.id ?? null;
};

/** @param suggestion a model that sees; null when none is known */
export const visionUnsupported = (modelId: string, suggestion: string | null): CortexError => {
  const advice = suggestion === null ? noneHere : `use ${suggestion}`;
  return new CortexError('vision_unsupported', `${modelId} cannot see images: ${advice}`, {
    param: 'messages',
    facts: { model_id: modelId, suggestion: suggestion ?? noneHere },
  });
};

/**
 * @param others every model here, asked for only when the request is refused
 * @throws CortexError `vision_unsupported` with `model_id` and `suggestion`
 */
export const requireVision = async (
  request: WithMessages,
  known: KnownModel,
  others: () => Promise<readonly KnownModel[]>,
  isLoaded: (id: string) => boolean,
): Promise<void> => {
  if (known.facts.hasVision || !requestHasImages(request)) return;
  throw visionUnsupported(known.id, seeing(await others(), isLoaded));
};
