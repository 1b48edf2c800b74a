/** A model of the catalogue as each protocol lists it. Pure. */
import type { CatalogueModel } from '@cortex/core';

/** OpenAI's four members and, beside them, all that the catalogue knows. A cost nobody declared is left out.
 * @param self our name in `Via` */
export const openAiModel = (model: CatalogueModel, createdSecs: number, self: string): object => {
  const { id, cost, via, ...rest } = model;
  return {
    id,
    object: 'model',
    created: createdSecs,
    owned_by: 'cortex',
    ...rest,
    via: [self, ...via],
    ...(cost === null || cost === undefined ? {} : { cost }),
  };
};

/** Anthropic's `ModelInfo`. */
export const anthropicModel = (model: CatalogueModel, createdSecs: number): object => ({
  type: 'model',
  id: model.id,
  display_name: model.alias_of === null ? model.id : `${model.id} (${model.alias_of})`,
  created_at: new Date(createdSecs * 1000).toISOString().replace('.000Z', 'Z'),
});
