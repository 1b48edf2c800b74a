/** A colour for each model, the same one everywhere on the page, and for as long as the page is open. */

export const hueCount = 6;

/** The first of the colours that the fewest of these have. */
const rarest = (hues: readonly number[]): number => {
  const uses = Array.from({ length: hueCount }, (_, hue) => hues.filter((one) => one === hue).length);
  return uses.indexOf(Math.min(...uses));
};

/**
 * Who has a colour keeps it; the others get, in the order of their names, one that as few as possible have, so that
 * those beside each other differ as long as there are enough.
 */
export const huesOf = (
  models: Iterable<string>,
  earlier: ReadonlyMap<string, number> = new Map(),
): ReadonlyMap<string, number> => {
  const names = [...new Set(models)].toSorted((a, b) => a.localeCompare(b));
  const hues = new Map(earlier);
  for (const name of names) {
    if (!hues.has(name)) hues.set(name, rarest(names.flatMap((one) => hues.get(one) ?? [])));
  }
  return hues;
};

/** For a name without a colour of its own: always the same one. */
export const hashedHue = (name: string): number => {
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 1_000_003;
  return hash % hueCount;
};
