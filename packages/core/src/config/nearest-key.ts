/** Finds what a mistyped key was probably meant to be. */

/** Edits (insert, delete, replace, swap of neighbours) that turn one word into the other. */
export const editDistance = (a: string, b: string): number => {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replace = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min((row[j - 1] ?? 0) + 1, (last[j] ?? 0) + 1, replace);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (i > 1 && j > 1 && swapped) best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
};

const plain = (key: string): string => key.toLowerCase().replaceAll('-', '_');

/** The closest of `known`, or null when nothing is close enough to be worth naming. */
export const nearestKey = (key: string, known: readonly string[]): string | null => {
  const wanted = plain(key);
  let best: string | null = null;
  let least = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(wanted, plain(candidate));
    if (distance < least) [best, least] = [candidate, distance];
  }
  if (best !== null || wanted.length < 4) return best;
  return known.find((name) => plain(name).includes(wanted) || wanted.includes(plain(name))) ?? null;
};
