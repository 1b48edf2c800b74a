/** The model names a mistyped one was probably meant to be. */

/** Pairs of neighbouring letters: cheap, and blind to what is around a name (`org/`, `-instruct`). */
const bigrams = (text: string): Map<string, number> => {
  const pairs = new Map<string, number>();
  for (let i = 0; i + 1 < text.length; i += 1) {
    const pair = text.slice(i, i + 2);
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  }
  return pairs;
};

/** Sørensen–Dice over bigrams: 0 nothing in common, 1 the same letters. */
const similarity = (a: Map<string, number>, b: Map<string, number>): number => {
  let common = 0;
  let total = 0;
  for (const [pair, count] of a) {
    common += Math.min(count, b.get(pair) ?? 0);
    total += count;
  }
  for (const count of b.values()) total += count;
  return total === 0 ? 0 : (2 * common) / total;
};

const plain = (name: string): string => name.toLowerCase().replaceAll(/[\s_.:]+/g, '-');

const lengthMax = 256;

/** At most `max` of `known`, nearest first; none where nothing is close enough to be worth naming. */
export const nearestNames = (wanted: string, known: Iterable<string>, max = 3): readonly string[] => {
  const text = plain(wanted.slice(0, lengthMax));
  const pairs = bigrams(text);
  const scored: { name: string; score: number }[] = [];
  for (const name of known) {
    const candidate = plain(name);
    const contained = text.length >= 3 && candidate.includes(text) ? 0.3 : 0;
    const score = similarity(pairs, bigrams(candidate)) + contained;
    if (score >= 0.4) scored.push({ name, score });
  }
  scored.sort((a, b) => b.score - a.score || a.name.localeCompare(b.name));
  return scored.slice(0, max).map(({ name }) => name);
};
