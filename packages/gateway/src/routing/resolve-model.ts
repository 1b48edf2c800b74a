/**
 * From the name a client wrote to a model's id. A written-out alias stands over a model of that name, a model over an
 * alias with `*`; of several matching globs the one with the most letters wins. Aliases may name aliases.
 */

const hopsMax = 8;

/** `claude-*` matches any text in place of each star; everything else literally. Linear in both lengths. */
export const globMatches = (glob: string, text: string): boolean => {
  const [head = '', ...pieces] = glob.split('*');
  if (pieces.length === 0) return glob === text;
  if (!text.startsWith(head)) return false;
  const tail = pieces.pop() ?? '';
  let at = head.length;
  for (const piece of pieces) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return text.length - tail.length >= at && text.endsWith(tail);
};

const globFor = (aliases: Readonly<Record<string, string>>, name: string): string | null => {
  let best: string | null = null;
  for (const glob of Object.keys(aliases)) {
    if (!glob.includes('*') || !globMatches(glob, name)) continue;
    if (best === null || glob.replaceAll('*', '').length > best.replaceAll('*', '').length) best = glob;
  }
  return best;
};

/** Null when neither the name nor what its aliases lead to is a known model. */
export const resolveModel = (
  aliases: Readonly<Record<string, string>>,
  isKnown: (id: string) => boolean,
  name: string,
): string | null => {
  let id = name;
  for (let hop = 0; hop < hopsMax; hop += 1) {
    const alias = Object.hasOwn(aliases, id) ? aliases[id] : undefined;
    if (alias === undefined && isKnown(id)) return id;
    const glob = alias === undefined ? globFor(aliases, id) : null;
    const next = alias ?? (glob === null ? undefined : aliases[glob]);
    if (next === undefined) return null;
    if (next === id) return isKnown(id) ? id : null;
    id = next;
  }
  return null;
};
