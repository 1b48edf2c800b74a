/**
 * At which tokens of a prompt a recurrent state is worth saving: where a later prompt is likely to part from this one.
 * A pure choice. Directly behind a control token is safe, since no token ever spans one, and such are where turns begin:
 * behind the system prompt, behind a user's turn. What follows the last of them (a role's name, the opening of a thought)
 * may be told otherwise next time.
 */

export interface BoundaryOptions {
  /** Tokens that the text had in common with another: states up to there exist. */
  readonly from: number;
  readonly isControl: (id: number) => boolean;
}

/** Saved states of one prompt, apart from the regular ones of a very long one. */
const boundariesMax = 4;
/** Two closer than this are one: the later. */
const clusterTokens = 8;
/** A prefix shorter than this is not worth a state. */
const prefixTokensMin = 16;
const spacingTokens = 64;
/** In a stretch without control tokens, such as a long document. */
const stretchTokens = 8192;
/** Of a prompt without control tokens: the last token may be part of a longer one next time. */
const tailTokens = 4;

const candidatesOf = (ids: Int32Array, { from, isControl }: BoundaryOptions): readonly number[] => {
  const found: number[] = [];
  for (let at = Math.max(from + 1, prefixTokensMin); at < ids.length; at++) {
    if (!isControl(ids[at - 1] ?? 0)) continue;
    const last = found.at(-1);
    if (last !== undefined && at - last < clusterTokens) found.pop();
    found.push(at);
  }
  return found;
};

const spread = (candidates: readonly number[]): readonly number[] => {
  const [first] = candidates;
  const chosen: number[] = [];
  for (const at of candidates.toReversed()) {
    const later = chosen.at(-1);
    if (later !== undefined && later - at < spacingTokens) continue;
    if (chosen.length < boundariesMax - 1) chosen.push(at);
  }
  if (first !== undefined && !chosen.includes(first)) chosen.push(first);
  return chosen.toReversed();
};

/** Ascending numbers of tokens, each above `from` and below `ids.length`. */
export const prefixBoundaries = (ids: Int32Array, options: BoundaryOptions): readonly number[] => {
  const candidates = candidatesOf(ids, options);
  const tail = ids.length - tailTokens;
  const isBare = (candidates.at(-1) ?? options.from) < ids.length / 2 && tail - options.from >= spacingTokens;
  const chosen = [...spread(candidates), ...(isBare ? [tail] : [])];
  const regular: number[] = [];
  let last = options.from;
  for (const at of chosen) {
    for (let next = last + stretchTokens; next < at; next += stretchTokens) regular.push(next);
    last = at;
  }
  return [...chosen, ...regular].toSorted((a, b) => a - b);
};
