/**
 * Regular expressions as deterministic automata over characters: Thompson's construction, then subsets. A pattern
 * matches anywhere in the text unless anchored, as JSON Schema says. Work is bounded by the compile budget.
 */
import { codePointSet, contains, type CodePointRange, type CodePointSet } from './code-points.ts';
import type { CompileBudget } from './compile-error.ts';
import { exhausted } from './exhausted.ts';
import { anyCharacter, parseRegex, type Regex } from './regex-syntax.ts';
import { explore, type TextAutomaton, type TextEdge, type TextState } from './text-automaton.ts';

type Node =
  | { readonly kind: 'set'; readonly set: CodePointSet; readonly next: number }
  | { readonly kind: 'split'; readonly next: number[] }
  | { readonly kind: 'start' | 'end'; readonly next: number }
  | { readonly kind: 'match' };

/** The texts that `pattern` matches somewhere; null when there is none. */
export function regexAutomaton(pattern: string, path: string, budget: CompileBudget): TextAutomaton | null {
  const anywhere: Regex = { kind: 'repeat', item: anyCharacter, min: 0, max: null };
  const nodes = new NodeList(budget);
  const match = nodes.add({ kind: 'match' });
  const after = nodes.build(anywhere, match);
  const start = nodes.build(anywhere, nodes.build(parseRegex(pattern, path), after));
  return determinised(nodes.all, start, after, budget);
}

class NodeList {
  readonly all: Node[] = [];
  readonly #budget: CompileBudget;

  constructor(budget: CompileBudget) {
    this.#budget = budget;
  }

  add(node: Node): number {
    this.#budget.spend(1);
    return this.all.push(node) - 1;
  }

  /** Adds what matches `regex` and then goes on at `next`; answers where it begins. */
  build(regex: Regex, next: number): number {
    switch (regex.kind) {
      case 'set':
        return this.add({ kind: 'set', set: regex.set, next });
      case 'start':
      case 'end':
        return this.add({ kind: regex.kind, next });
      case 'concat':
        return regex.items.reduceRight((following, item) => this.build(item, following), next);
      case 'alternate':
        return this.add({ kind: 'split', next: regex.items.map((item) => this.build(item, next)) });
      case 'repeat':
        return this.#repeat(regex.item, regex.min, regex.max, next);
      default:
        return exhausted(regex);
    }
  }

  #repeat(item: Regex, min: number, max: number | null, next: number): number {
    let at = next;
    if (max === null) {
      const targets = [next];
      at = this.add({ kind: 'split', next: targets });
      targets.push(this.build(item, at));
    } else {
      for (let i = min; i < max; i++) at = this.add({ kind: 'split', next: [next, this.build(item, at)] });
    }
    for (let i = 0; i < min; i++) at = this.build(item, at);
    return at;
  }
}

/** The coarsest partition of the characters that no set of the automaton tells apart. */
function characterClasses(nodes: readonly Node[], budget: CompileBudget): CodePointSet[] {
  const sets = new Map<string, CodePointSet>();
  for (const node of nodes) if (node.kind === 'set') sets.set(node.set.join(';'), node.set);
  const boundaries = new Set([0]);
  for (const set of sets.values()) {
    for (const [first, last] of set) {
      boundaries.add(first);
      boundaries.add(last + 1);
    }
  }
  const sorted = [...boundaries].sort((a, b) => a - b);
  budget.spend(sorted.length * sets.size);
  const classes = new Map<string, CodePointRange[]>();
  sorted.forEach((first, index) => {
    const last = (sorted[index + 1] ?? 0x110000) - 1;
    if (last < first) return;
    const signature = Array.from(sets.values(), (set) => (contains(set, first) ? '1' : '0')).join('');
    const ranges = classes.get(signature);
    if (ranges === undefined) classes.set(signature, [[first, last]]);
    else ranges.push([first, last]);
  });
  return Array.from(classes.values(), codePointSet).filter((set) => set.length > 0);
}

/** A position is a node; twice it plus one once "end" was passed, after which no character may follow. */
function closure(nodes: readonly Node[], from: readonly number[], atStart: boolean, budget: CompileBudget): number[] {
  const seen = new Set<number>();
  const stack = [...from];
  for (let position = stack.pop(); position !== undefined; position = stack.pop()) {
    if (seen.has(position)) continue;
    seen.add(position);
    budget.spend(1);
    const ended = position & 1;
    const node = nodes[position >> 1];
    if (node === undefined) continue;
    if (node.kind === 'split') for (const next of node.next) stack.push(2 * next + ended);
    else if (node.kind === 'end') stack.push(2 * node.next + 1);
    else if (node.kind === 'start' && atStart) stack.push(2 * node.next + ended);
  }
  const lasting = [...seen].filter((position) => {
    const kind = nodes[position >> 1]?.kind;
    return kind === 'match' || (kind === 'set' && (position & 1) === 0);
  });
  return lasting.sort((a, b) => a - b);
}

function determinised(
  nodes: readonly Node[],
  start: number,
  after: number,
  budget: CompileBudget,
): TextAutomaton | null {
  const classes = characterClasses(nodes, budget);
  const whole = closure(nodes, [2 * after], false, budget);
  const isMatch = (position: number): boolean => nodes[position >> 1]?.kind === 'match';

  const keyOf = (positions: readonly number[]): string => {
    // Once matched without reaching an end anchor, whatever follows matches too.
    const settled = whole.every((position) => positions.includes(position));
    return (settled ? whole : positions).join(',');
  };
  const build = (key: string, stateOf: (key: string) => number): TextState => {
    const positions = key === '' ? [] : key.split(',').map(Number);
    const edges = classes.flatMap((on): TextEdge[] => {
      const sample = on[0]?.[0] ?? 0;
      budget.spend(positions.length);
      const moved = positions.flatMap((position) => {
        const node = nodes[position >> 1];
        return node?.kind === 'set' && contains(node.set, sample) ? [2 * node.next] : [];
      });
      if (moved.length === 0) return [];
      return [{ on, to: stateOf(keyOf(closure(nodes, moved, false, budget))) }];
    });
    return { accepting: positions.some(isMatch), edges };
  };
  return explore(keyOf(closure(nodes, [2 * start], true, budget)), build, budget);
}
