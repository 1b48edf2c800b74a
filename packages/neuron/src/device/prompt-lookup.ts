/**
 * Guesses what follows a text from the text itself (prompt lookup decoding, Saxena 2023): where its last tokens have
 * stood before, what came after them then. Pure; a wrong guess costs time and nothing else.
 */

/** More say no more. */
const matchMax = 16;
/** Earlier places that are looked at. */
const placesMax = 64;

/** Tokens before `a` and before `b`, those two included, that are equal. */
const matchLength = (ids: Int32Array, a: number, b: number): number => {
  let n = 0;
  while (n < matchMax && n <= a && ids[a - n] === ids[b - n]) n += 1;
  return n;
};

/**
 * Up to `nMax` tokens; none without a repetition of `matchMin` tokens: fewer say little. Of the places that match, the latest of the longest. A repetition that
 * is still going on is taken to go on.
 */
export const promptLookup = (ids: Int32Array, nMax: number, matchMin = 3): Int32Array => {
  const last = ids.length - 1;
  let best = { at: -1, length: matchMin - 1 };
  let at = last;
  for (let i = 0; i < placesMax && at > 0 && best.length < matchMax; i++) {
    at = ids.lastIndexOf(ids[last] ?? 0, at - 1);
    if (at < 0) break;
    const length = matchLength(ids, at, last);
    if (length > best.length) best = { at, length };
  }
  if (best.at < 0) return new Int32Array(0);
  const period = last - best.at;
  return Int32Array.from({ length: nMax }, (_, i) => ids[best.at + 1 + (i % period)] ?? 0);
};
