/**
 * Deterministic automata over characters, for what may stand in a string. Invariant: from every state an accepting
 * one can be reached, so that generation never runs into a dead end. `null` is the automaton that accepts nothing.
 */
import { complement, contains, everything, intersect, union, codePointsOf, type CodePointSet } from './code-points.ts';
import type { CompileBudget } from './compile-error.ts';

export interface TextEdge {
  readonly on: CodePointSet;
  readonly to: number;
}
export interface TextState {
  readonly accepting: boolean;
  /** Their sets are disjoint. */
  readonly edges: readonly TextEdge[];
}
/** State 0 is the start. */
export interface TextAutomaton {
  readonly states: readonly TextState[];
}

/** Any text at all. */
export const anyText: TextAutomaton = { states: [{ accepting: true, edges: [{ on: everything, to: 0 }] }] };

export function automatonAccepts({ states }: TextAutomaton, text: string): boolean {
  let at = 0;
  for (const point of codePointsOf(text)) {
    const edge = states[at]?.edges.find(({ on }) => contains(on, point));
    if (edge === undefined) return false;
    at = edge.to;
  }
  return states[at]?.accepting ?? false;
}

/** Drops the states that lead nowhere, joins parallel edges; null when the start is among them. */
function trimmed(states: readonly TextState[]): TextAutomaton | null {
  const before: number[][] = states.map(() => []);
  states.forEach(({ edges }, from) => edges.forEach(({ to }) => before[to]?.push(from)));
  const live = new Set(states.flatMap(({ accepting }, index) => (accepting ? [index] : [])));
  for (const state of live) for (const from of before[state] ?? []) live.add(from);
  if (!live.has(0)) return null;

  const places = new Map([...live].sort((a, b) => a - b).map((state, place) => [state, place]));
  return {
    states: [...places.keys()].map((index): TextState => {
      const sets = new Map<number, CodePointSet>();
      for (const { on, to } of states[index]?.edges ?? []) {
        const place = places.get(to);
        if (place === undefined || on.length === 0) continue;
        const parallel = sets.get(place);
        sets.set(place, parallel === undefined ? on : union(parallel, on));
      }
      return {
        accepting: states[index]?.accepting ?? false,
        edges: Array.from(sets, ([to, on]) => ({ on, to })),
      };
    }),
  };
}

/** Numbers states as they are first met, and builds them one by one: `build` may ask for further ones. */
export function explore(
  start: string,
  build: (key: string, stateOf: (key: string) => number) => TextState,
  budget: CompileBudget,
): TextAutomaton | null {
  const keys = [start];
  const numbers = new Map([[start, 0]]);
  const stateOf = (key: string): number => {
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, keys.length);
    return keys.push(key) - 1;
  };
  const states: TextState[] = [];
  for (const key of keys) {
    const state = build(key, stateOf);
    budget.spend(1 + state.edges.length);
    states.push(state);
  }
  return trimmed(states);
}

/** Text that both accept. */
export function both(a: TextAutomaton, b: TextAutomaton, budget: CompileBudget): TextAutomaton | null {
  const build = (key: string, stateOf: (key: string) => number): TextState => {
    const [inA = 0, inB = 0] = key.split(',').map(Number);
    const left = a.states[inA];
    const right = b.states[inB];
    budget.spend((left?.edges.length ?? 0) * (right?.edges.length ?? 0));
    const edges = (left?.edges ?? []).flatMap((x) =>
      (right?.edges ?? []).flatMap((y): TextEdge[] => {
        const on = intersect(x.on, y.on);
        return on.length === 0 ? [] : [{ on, to: stateOf(`${x.to},${y.to}`) }];
      }),
    );
    return { accepting: (left?.accepting ?? false) && (right?.accepting ?? false), edges };
  };
  return explore('0,0', build, budget);
}

/** Text the automaton accepts, of `min` to `max` characters: one state for each length that matters. */
export function withLength(
  automaton: TextAutomaton,
  min: number,
  max: number | null,
  budget: CompileBudget,
): TextAutomaton | null {
  const build = (key: string, stateOf: (key: string) => number): TextState => {
    const [inner = 0, length = 0] = key.split(',').map(Number);
    const state = automaton.states[inner];
    const next = max === null ? Math.min(length + 1, min) : length + 1;
    const edges = max !== null && length >= max ? [] : (state?.edges ?? []);
    return {
      accepting: (state?.accepting ?? false) && length >= min,
      edges: edges.map(({ on, to }) => ({ on, to: stateOf(`${to},${next}`) })),
    };
  };
  return explore('0,0', build, budget);
}

/** Any text but these. */
export function textExcept(names: readonly string[]): TextAutomaton {
  interface Node {
    named: boolean;
    readonly children: Map<number, number>;
  }
  const nodes: Node[] = [{ named: false, children: new Map() }];
  for (const name of names) {
    let at = 0;
    for (const point of codePointsOf(name)) {
      const node = nodes[at];
      const child = node?.children.get(point) ?? nodes.push({ named: false, children: new Map() }) - 1;
      node?.children.set(point, child);
      at = child;
    }
    const last = nodes[at];
    if (last !== undefined) last.named = true;
  }
  const free = nodes.length;
  const states = nodes.map(({ named, children }): TextState => {
    const listed = [...children.keys()].map((point): readonly [number, number] => [point, point]);
    const others = complement([...listed].sort((a, b) => a[0] - b[0]));
    const edges = Array.from(children, ([point, to]): TextEdge => ({ on: [[point, point]], to }));
    return { accepting: !named, edges: [...edges, { on: others, to: free }] };
  });
  return { states: [...states, { accepting: true, edges: [{ on: everything, to: free }] }] };
}

/**
 * Any text in which none of `literals` stands, also not one begun before the text: `before` counts as just read (Aho
 * and Corasick). Every state is accepting and can go on.
 */
export function textWithout(literals: readonly string[], before: string, budget: CompileBudget): TextAutomaton {
  const prefixes = new Set(literals.flatMap((literal) => Array.from(literal, (_, end) => literal.slice(0, end))));
  const alphabet = [...new Set(literals.flatMap(codePointsOf))].sort((a, b) => a - b);
  const others = complement(alphabet.map((point) => [point, point] as const));
  // A state is the longest end of the text that begins a literal.
  const longestPrefix = (text: string): string => {
    for (let start = 0; start < text.length; start++) if (prefixes.has(text.slice(start))) return text.slice(start);
    return '';
  };
  const build = (read: string, stateOf: (key: string) => number): TextState => {
    const edges: TextEdge[] = [{ on: others, to: stateOf('') }];
    for (const point of alphabet) {
      const text = read + String.fromCodePoint(point);
      if (literals.some((literal) => text.endsWith(literal))) continue;
      edges.push({ on: [[point, point]], to: stateOf(longestPrefix(text)) });
    }
    return { accepting: true, edges };
  };
  return explore(longestPrefix(before), build, budget) ?? anyText;
}
