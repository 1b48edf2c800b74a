/** A colour for each model, the same one everywhere on the page. */

export const hueCount = 6;

/** Loaded models get the colours in turn, so that those beside each other differ as long as there are enough. */
export const huesOf = (models: Iterable<string>): ReadonlyMap<string, number> =>
  new Map([...new Set(models)].toSorted((a, b) => a.localeCompare(b)).map((model, i) => [model, i % hueCount]));

/** For a name without a colour of its own: always the same one. */
export const hashedHue = (name: string): number => {
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 1_000_003;
  return hash % hueCount;
};
