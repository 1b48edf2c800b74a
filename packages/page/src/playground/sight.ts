/** Whether a model takes pictures, and what to say when it does not. */
import type { CatalogueModel } from '@cortex/core';

const sees = (model: CatalogueModel): boolean => model.capabilities.includes('vision');

/** Null when it does, or when nobody says what it takes: then the API decides. */
export const whyBlind = (models: readonly CatalogueModel[], id: string): string | null => {
  const model = models.find((one) => one.id === id);
  if (model === undefined || model.capabilities.length === 0 || sees(model)) return null;
  const seeing = models.filter(sees).map((one) => one.id);
  const others = seeing.length === 0 ? 'No model here can.' : `These can: ${seeing.slice(0, 5).join(', ')}.`;
  return `${id} takes ${model.capabilities.join(' and ')} only, so it can’t see pictures. ${others}`;
};
