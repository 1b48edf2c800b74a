/**
 * Grammar expressions to a program. Each rule becomes one routine; what stands last in a routine is jumped to rather
 * than called, so lists written as recursion do not pile up frames.
 */
import { CortexError } from '@cortex/core';
import { isEverything, type CodePointSet } from './code-points.ts';
import type { CompileBudget } from './compile-error.ts';
import { exhausted } from './exhausted.ts';
import type { Expression, Rule } from './expression.ts';
import { jsonTextSequences } from './json-text.ts';
import { frameDepthMax, op, unreachable, type Program } from './program.ts';
import { frameNeeds } from './frame-needs.ts';
import { utf8Sequences, type ByteRange, type ByteSequence } from './utf8-ranges.ts';

/** A text expression, by its kind. */
type TextExpression = Extract<Expression, { kind: 'text' }>;

/** The byte sequences of a set of characters. */
interface Writing {
  readonly single: readonly ByteRange[];
  readonly several: readonly ByteSequence[];
}

export function assemble(root: Expression, budget: CompileBudget): Program {
  const assembler = new Assembler(budget);
  const entry = assembler.emit(root, assembler.returns);
  assembler.emitRules();
  return assembler.program(entry);
}

class Assembler {
  readonly #ops: number[] = [];
  readonly #a: number[] = [];
  readonly #b: number[] = [];
  readonly #c: number[] = [];
  readonly #targets: number[] = [];
  readonly #limits: number[] = [];
  readonly #sets: (readonly ByteRange[])[] = [];
  readonly #setNumbers = new Map<string | number | readonly ByteRange[], number>();
  readonly #limitNumbers = new Map<string, number>();
  /** Rules met, with the instructions whose operand `a` (or target) waits for their entry. */
  readonly #entries = new Map<Rule, number>();
  readonly #waiting: { readonly rule: Rule; readonly patch: (entry: number) => void }[] = [];
  readonly #writings = { json: new Map<CodePointSet, Writing>(), raw: new Map<CodePointSet, Writing>() };
  readonly #budget: CompileBudget;
  /** The address of a `return`. */
  readonly returns: number;

  constructor(budget: CompileBudget) {
    this.#budget = budget;
    this.returns = this.#add(op.return, 0, 0, 0);
  }

  #add(code: number, a: number, b: number, c: number): number {
    this.#budget.spend(1);
    this.#a.push(a);
    this.#b.push(b);
    this.#c.push(c);
    return this.#ops.push(code) - 1;
  }

  /** Adds what matches `expression` and then goes on at `next`; answers where it begins. */
  emit(expression: Expression, next: number): number {
    switch (expression.kind) {
      case 'bytes':
        return expression.bytes.reduceRight((following, byte) => this.#byte([[byte, byte]], following), next);
      case 'byte':
        return this.#byte(expression.ranges, next);
      case 'sequence':
        return expression.items.reduceRight((following, item) => this.emit(item, following), next);
      case 'choice':
        return this.#split(expression.options.map((option) => this.emit(option, next)));
      case 'repeat':
        return this.#repeat(expression.item, expression.min, expression.max, next);
      case 'text':
        return this.#text(expression, next);
      case 'rule':
        return this.#rule(expression.rule, next);
      default:
        return exhausted(expression);
    }
  }

  /** Emits the rules met so far, and those they use. */
  emitRules(): void {
    for (let waiting = this.#waiting.pop(); waiting !== undefined; waiting = this.#waiting.pop()) {
      const { rule, patch } = waiting;
      const entry = this.#entries.get(rule) ?? this.emit(rule.define(), this.returns);
      this.#entries.set(rule, entry);
      patch(entry);
    }
  }

  #byte(ranges: readonly ByteRange[], next: number): number {
    return this.#add(op.byte, this.#setNumber(ranges), next, 0);
  }

  #setNumber(ranges: readonly ByteRange[]): number {
    const [first] = ranges;
    if (ranges.length !== 1 || first === undefined) {
      const known = this.#setNumbers.get(ranges);
      if (known !== undefined) return known;
    }
    const key = ranges.length === 1 && first !== undefined ? 256 * first[0] + first[1] : ranges.join(';');
    const set = this.#setNumbers.get(key) ?? this.#sets.push(ranges) - 1;
    this.#setNumbers.set(key, set);
    this.#setNumbers.set(ranges, set);
    return set;
  }

  #split(targets: readonly number[]): number {
    const [only] = targets;
    if (targets.length === 1 && only !== undefined) return only;
    return this.#fill(this.#reserve(), targets);
  }

  /** A split whose targets are not known yet: cycles go through one. */
  #reserve(): number {
    return this.#add(op.split, 0, 0, 0);
  }

  #fill(split: number, targets: readonly number[]): number {
    this.#budget.spend(targets.length);
    this.#a[split] = this.#targets.length;
    this.#b[split] = targets.length;
    for (const target of targets) this.#targets.push(target);
    return split;
  }

  #limitsOf(min: number, max: number | null): number {
    const key = `${min},${max}`;
    const known = this.#limitNumbers.get(key);
    if (known !== undefined) return known;
    const number = this.#limits.push(min, max ?? -1) / 2 - 1;
    this.#limitNumbers.set(key, number);
    return number;
  }

  #repeat(item: Expression, min: number, max: number | null, next: number): number {
    if (max === 0) return next;
    if (max === 1) return min === 1 ? this.emit(item, next) : this.#split([next, this.emit(item, next)]);
    if (max === null && min <= 1) {
      const again = this.#reserve();
      const first = this.emit(item, again);
      this.#fill(again, [next, first]);
      return min === 1 ? first : again;
    }
    const limits = this.#limitsOf(min, max);
    const loop = this.#add(op.loop, 0, this.returns, limits);
    this.#a[loop] = this.emit(item, this.returns);
    return this.#add(op.call, loop, next, limits);
  }

  #rule(rule: Rule, next: number): number {
    const jumps = next === this.returns;
    const at = jumps ? this.#fill(this.#reserve(), [this.returns]) : this.#add(op.call, 0, next, -1);
    const target = this.#targets.length - 1;
    const patch = (entry: number): void => {
      if (jumps) this.#targets[target] = entry;
      else this.#a[at] = entry;
    };
    this.#waiting.push({ rule, patch });
    return at;
  }

  #text(expression: TextExpression, next: number): number {
    const { automaton, min, max } = expression;
    const counted = min > 0 || max !== null;
    const limits = counted ? this.#limitsOf(min, max) : -1;
    const end = counted ? this.#add(op.enough, this.returns, limits, 0) : next;
    const places = automaton.states.map(() => this.#reserve());
    automaton.states.forEach(({ accepting, edges }, state) => {
      const ways = edges.flatMap(({ on, to }) => {
        const place = places[to] ?? this.returns;
        return this.#character(on, expression.encoding, place);
      });
      const more = counted ? [this.#add(op.count, this.#split(ways), limits, 0)] : ways;
      this.#fill(places[state] ?? 0, accepting ? [end, ...more] : more);
    });
    const start = places[0] ?? this.returns;
    return counted ? this.#add(op.call, start, next, limits) : start;
  }

  /** Every way to write one character of the set: in one byte, and in several. */
  #writing(set: CodePointSet, encoding: TextExpression['encoding']): Writing {
    const known = this.#writings[encoding].get(set);
    if (known !== undefined) return known;
    const sequences = encoding === 'raw' ? utf8Sequences(set) : jsonTextSequences(set, isEverything(set));
    const writing = {
      single: sequences.filter(({ length }) => length === 1).flatMap(([ranges]) => ranges ?? []),
      several: sequences.filter(({ length }) => length > 1),
    };
    this.#writings[encoding].set(set, writing);
    return writing;
  }

  /** The ways in to one character of the set; byte sequences that end alike share their ends. */
  #character(set: CodePointSet, encoding: TextExpression['encoding'], next: number): number[] {
    const { single, several } = this.#writing(set, encoding);
    const ways = single.length === 0 ? [] : [this.#byte(single, next)];
    if (several.length === 0) return ways;
    const tails = new Map<string, number>();
    const tail = (sequence: ByteSequence): number => {
      const [ranges, ...rest] = sequence;
      if (ranges === undefined) return next;
      const key = sequence.map(String).join(';');
      const at = tails.get(key) ?? this.#byte(ranges, tail(rest));
      tails.set(key, at);
      return at;
    };
    const heads = new Map<number, ByteRange[]>();
    for (const [ranges = [], ...rest] of several) {
      const following = tail(rest);
      const head = heads.get(following);
      if (head === undefined) heads.set(following, [...ranges]);
      else head.push(...ranges);
    }
    for (const [following, ranges] of heads) ways.push(this.#byte(ranges, following));
    return ways;
  }

  program(entry: number): Program {
    const { classOfByte, nClasses } = byteClasses(this.#sets);
    const sets = new Uint8Array(this.#sets.length * nClasses);
    this.#sets.forEach((ranges, set) => {
      for (const [first, last] of ranges) {
        for (let byte = first; byte <= last; byte++) sets[set * nClasses + (classOfByte[byte] ?? 0)] = 1;
      }
    });
    const code = {
      ops: Uint8Array.from(this.#ops),
      a: Int32Array.from(this.#a),
      b: Int32Array.from(this.#b),
      c: Int32Array.from(this.#c),
      targets: Int32Array.from(this.#targets),
      limits: Int32Array.from(this.#limits),
    };
    const need = frameNeeds(code);
    const depth = need[entry] ?? unreachable;
    if (depth === unreachable) throw new CortexError('invalid_request', 'no JSON value satisfies the JSON Schema');
    if (depth >= frameDepthMax) throw new CortexError('invalid_request', 'the JSON Schema nests too deep');
    return { ...code, classOfByte, nClasses, sets, need, entry };
  }
}

/** Splits the bytes into classes that no set divides. */
function byteClasses(sets: readonly (readonly ByteRange[])[]): { classOfByte: Uint8Array; nClasses: number } {
  const classOfByte = new Uint8Array(256);
  let nClasses = 1;
  for (const ranges of sets) {
    const inside = new Uint8Array(256);
    for (const [first, last] of ranges) inside.fill(1, first, last + 1);
    const renamed = new Map<number, number>();
    for (let byte = 0; byte < 256; byte++) {
      const key = 2 * (classOfByte[byte] ?? 0) + (inside[byte] ?? 0);
      const name = renamed.get(key) ?? renamed.size;
      renamed.set(key, name);
      classOfByte[byte] = name;
    }
    nClasses = renamed.size;
  }
  return { classOfByte, nClasses };
}
