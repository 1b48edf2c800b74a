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
  return new SubsetConstruction(nodes.all, after, budget).automaton(start);
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

/** Nodes from which a match can be reached without a start anchor on the way. */
function liveNodes(nodes: readonly Node[]): boolean[] {
  const before: number[][] = nodes.map(() => []);
  nodes.forEach((node, index) => {
    if (node.kind === 'split') for (const next of node.next) before[next]?.push(index);
    else if (node.kind === 'set' || node.kind === 'end') before[node.next]?.push(index);
  });
  const live = new Set(nodes.flatMap((node, index) => (node.kind === 'match' ? [index] : [])));
  for (const node of live) for (const previous of before[node] ?? []) live.add(previous);
  return nodes.map((_, index) => live.has(index));
}

/**
 * The subset construction. A position is a node; twice its number, plus one once "end" was passed, after which no
 * character may follow.
 */
class SubsetConstruction {
  readonly #nodes: readonly Node[];
  readonly #budget: CompileBudget;
  readonly #classes: readonly CodePointSet[];
  /** By node: 1 for each class it reads. */
  readonly #reads: readonly (Uint8Array | null)[];
  /** By position, once asked for: all that is reached from it without reading. */
  readonly #closures = new Map<number, readonly number[]>();
  /** Sets of characters by the classes they join: equal ones are one object. */
  readonly #unions = new Map<string, CodePointSet>();
  readonly #settled: readonly number[];
  /** By node: whether a match can follow once the start of the text is behind. */
  readonly #live: readonly boolean[];

  constructor(nodes: readonly Node[], after: number, budget: CompileBudget) {
    this.#nodes = nodes;
    this.#budget = budget;
    this.#classes = characterClasses(nodes, budget);
    budget.spend((nodes.length * this.#classes.length) >> 3);
    this.#reads = nodes.map((node) =>
      node.kind === 'set'
        ? Uint8Array.from(this.#classes, (on) => (contains(node.set, on[0]?.[0] ?? 0) ? 1 : 0))
        : null,
    );
    this.#live = liveNodes(nodes);
    this.#settled = this.#closure(2 * after);
  }

  automaton(start: number): TextAutomaton | null {
    const first = new Set(this.#reach(2 * start, true));
    if (first.size === 0) return null;
    return explore(this.#key(first), (key, stateOf) => this.#state(key, stateOf), this.#budget);
  }

  #state(key: string, stateOf: (key: string) => number): TextState {
    const positions = key.split(',').map(Number);
    this.#budget.spend(positions.length);
    const classesTo = new Map<number, number[]>();
    this.#classes.forEach((_, index) => {
      const reached = new Set<number>();
      for (const position of positions) {
        const node = this.#nodes[position >> 1];
        if (node?.kind !== 'set' || this.#reads[position >> 1]?.[index] !== 1) continue;
        const closure = this.#closure(2 * node.next);
        this.#budget.spend(closure.length);
        for (const next of closure) reached.add(next);
      }
      if (reached.size === 0) return;
      const to = stateOf(this.#key(reached));
      const classes = classesTo.get(to);
      if (classes === undefined) classesTo.set(to, [index]);
      else classes.push(index);
    });
    const edges = Array.from(classesTo, ([to, classes]): TextEdge => ({ on: this.#union(classes), to }));
    return { accepting: positions.some((position) => this.#nodes[position >> 1]?.kind === 'match'), edges };
  }

  #union(classes: readonly number[]): CodePointSet {
    const key = classes.join();
    const known = this.#unions.get(key);
    if (known !== undefined) return known;
    const set = codePointSet(classes.flatMap((index) => this.#classes[index] ?? []));
    this.#unions.set(key, set);
    return set;
  }

  #key(positions: ReadonlySet<number>): string {
    // Once matched without reaching an end anchor, whatever follows matches too.
    const settled = this.#settled.every((position) => positions.has(position));
    return settled ? this.#settled.join() : [...positions].sort((a, b) => a - b).join();
  }

  #closure(from: number): readonly number[] {
    const known = this.#closures.get(from);
    if (known !== undefined) return known;
    const closure = this.#reach(from, false);
    this.#closures.set(from, closure);
    return closure;
  }

  /** The positions that read, or match, reached from one without reading. */
  #reach(from: number, atStart: boolean): number[] {
    const seen = new Set<number>();
    const lasting: number[] = [];
    const stack = [from];
    for (let position = stack.pop(); position !== undefined; position = stack.pop()) {
      if (seen.has(position)) continue;
      seen.add(position);
      this.#budget.spend(1);
      const ended = position & 1;
      const node = this.#nodes[position >> 1];
      if (node === undefined) continue;
      if (node.kind === 'match') lasting.push(position);
      else if (node.kind === 'set' && ended === 0 && this.#live[node.next] === true) lasting.push(position);
      else if (node.kind === 'split') for (const next of node.next) stack.push(2 * next + ended);
      else if (node.kind === 'end') stack.push(2 * node.next + 1);
      else if (node.kind === 'start' && atStart) stack.push(2 * node.next + ended);
    }
    return lasting.sort((a, b) => a - b);
  }
}
