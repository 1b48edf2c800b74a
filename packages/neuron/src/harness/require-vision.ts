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
  const suggestion = seeing(await others(), isLoaded);
  const advice = suggestion === null ? noneHere : `use ${suggestion}`;
  throw new CortexError('vision_unsupported', `${known.id} cannot see images: ${advice}`, {
    param: 'messages',
    facts: { model_id: known.id, suggestion: suggestion ?? noneHere },
  });
};
