/**
 * Sets of Unicode scalar values as sorted, disjoint, inclusive ranges. Surrogates are in no set: they are not
 * characters, and UTF-8 cannot write them.
 */
export type CodePointRange = readonly [first: number, last: number];
export type CodePointSet = readonly CodePointRange[];

const lastCodePoint = 0x10ffff;
const firstSurrogate = 0xd800;
const lastSurrogate = 0xdfff;

export const everything: CodePointSet = [
  [0, firstSurrogate - 1],
  [lastSurrogate + 1, lastCodePoint],
];

export const isEverything = (set: CodePointSet): boolean =>
  set.length === 2 && set[0]?.[0] === 0 && set[0][1] === firstSurrogate - 1 && set[1]?.[1] === lastCodePoint;

/** The union of any ranges, in any order, surrogates left out. */
export function codePointSet(ranges: readonly CodePointRange[]): CodePointSet {
  const sorted = ranges
    .flatMap(([first, last]): CodePointRange[] =>
      first <= lastSurrogate && last >= firstSurrogate
        ? [
            [first, firstSurrogate - 1],
            [lastSurrogate + 1, last],
          ]
        : [[first, last]],
    )
    .filter(([first, last]) => first <= last)
    .sort((a, b) => a[0] - b[0]);
  const merged: [number, number][] = [];
  for (const [first, last] of sorted) {
    const previous = merged.at(-1);
    if (previous !== undefined && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else merged.push([first, last]);
  }
  return merged;
}

export const union = (a: CodePointSet, b: CodePointSet): CodePointSet => codePointSet([...a, ...b]);

export function intersect(a: CodePointSet, b: CodePointSet): CodePointSet {
  const both: CodePointRange[] = [];
  let i = 0;
  let j = 0;
  for (;;) {
    const left = a[i];
    const right = b[j];
    if (left === undefined || right === undefined) return both;
    const first = Math.max(left[0], right[0]);
    const last = Math.min(left[1], right[1]);
    if (first <= last) both.push([first, last]);
    if (left[1] < right[1]) i++;
    else j++;
  }
}

export function complement(set: CodePointSet): CodePointSet {
  const gaps: CodePointRange[] = [];
  let next = 0;
  for (const [first, last] of set) {
    if (first > next) gaps.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= lastCodePoint) gaps.push([next, lastCodePoint]);
  return codePointSet(gaps);
}

export const subtract = (a: CodePointSet, b: CodePointSet): CodePointSet => intersect(a, complement(b));

export const contains = (set: CodePointSet, codePoint: number): boolean =>
  set.some(([first, last]) => first <= codePoint && codePoint <= last);

/** Each character of a string as a code point. */
export const codePointsOf = (text: string): number[] => Array.from(text, (character) => character.codePointAt(0) ?? 0);

/** The set of the characters of a string. */
export const characters = (text: string): CodePointSet =>
  codePointSet(codePointsOf(text).map((point): CodePointRange => [point, point]));
