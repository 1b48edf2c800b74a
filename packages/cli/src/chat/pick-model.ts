/** Which model is meant when none is named: the loaded one, else the only one. Pure. */
import { ConfigError, type CatalogueModel } from '@cortex/core';
import { counted } from '../terminal/quantities.ts';
import { exampleModel } from '../example-model.ts';

/** A neuron's own list says less of each model. */
export type Listed = Pick<CatalogueModel, 'id'> & Partial<CatalogueModel>;

const namesShown = 10;

/** Somebody who names no model and writes a sentence means the sentence as the prompt: a name of several words is listed. */
export const isPrompt = (models: readonly Listed[], first: string): boolean =>
  /\s/.test(first) && !models.some(({ id }) => id.toLowerCase() === first.toLowerCase());

/** @throws ConfigError listing the names when it cannot be told. */
export const pickModel = (models: readonly Listed[], asked: string | undefined): string => {
  const ids = models.map(({ id }) => id);
  if (asked !== undefined) {
    // An alias may be a rule that no list shows: only the gateway can say that a name is wrong.
    const near = ids.includes(asked) ? null : ids.find((id) => id.toLowerCase() === asked.toLowerCase());
    return near ?? asked;
  }
  const real = models.filter(({ alias_of }) => alias_of === null || alias_of === undefined);
  const loaded = real.filter(({ state }) => state === 'loaded');
  const only = loaded.length === 1 ? loaded[0] : real.length === 1 ? real[0] : undefined;
  if (only !== undefined) return only.id;
  if (real.length === 0) throw new ConfigError([`there is no model yet; fetch one with: cortex pull ${exampleModel}`]);
  const names = real.slice(0, namesShown).map(({ id }) => id);
  throw new ConfigError([`which of ${counted(real.length, 'model')}? ${names.join(', ')}`]);
};

/** For a name that nobody has. */
export const noSuchModel = (models: readonly Listed[], asked: string): string => {
  const names = models.slice(0, namesShown).map(({ id }) => id);
  const others = names.length === 0 ? 'nor any other' : `but ${names.join(', ')}`;
  return `There is no model ${JSON.stringify(asked)} here, ${others}.`;
};
