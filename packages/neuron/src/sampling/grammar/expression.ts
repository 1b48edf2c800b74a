/**
 * Grammars as data: what the schema and tool compilers build and `assemble.ts` turns into a program. Recursion goes
 * through rules, whose expression is asked for when the assembler first meets them.
 */
import type { TextAutomaton } from './text-automaton.ts';
import type { ByteRange } from './utf8-ranges.ts';

export class Rule {
  readonly define: () => Expression;

  constructor(define: () => Expression) {
    this.define = define;
  }
}

export type Expression =
  /** These bytes, one after another. */
  | { readonly kind: 'bytes'; readonly bytes: readonly number[] }
  /** One byte out of these ranges. */
  | { readonly kind: 'byte'; readonly ranges: readonly ByteRange[] }
  | { readonly kind: 'sequence'; readonly items: readonly Expression[] }
  /** Any one of these; of none: nothing matches. */
  | { readonly kind: 'choice'; readonly options: readonly Expression[] }
  /** `item` matches at least one byte. `max` null: without end. */
  | { readonly kind: 'repeat'; readonly item: Expression; readonly min: number; readonly max: number | null }
  /**
   * Text the automaton accepts, of `min` to `max` characters; `json`: escaped as inside a JSON string. With length
   * limits every state of the automaton must be accepting and able to go on.
   */
  | {
      readonly kind: 'text';
      readonly automaton: TextAutomaton;
      readonly encoding: 'json' | 'raw';
      readonly min: number;
      readonly max: number | null;
    }
  | { readonly kind: 'rule'; readonly rule: Rule };

export const text = (literal: string): Expression => ({ kind: 'bytes', bytes: [...new TextEncoder().encode(literal)] });
export const byteRange = (...ranges: ByteRange[]): Expression => ({ kind: 'byte', ranges });
export const sequence = (...items: Expression[]): Expression => ({ kind: 'sequence', items });
export const choice = (...options: Expression[]): Expression => ({ kind: 'choice', options });
export const repeat = (item: Expression, min: number, max: number | null): Expression => ({
  kind: 'repeat',
  item,
  min,
  max,
});
export const use = (rule: Rule): Expression => ({ kind: 'rule', rule });

export const empty: Expression = { kind: 'sequence', items: [] };
export const never: Expression = { kind: 'choice', options: [] };
export const optional = (item: Expression): Expression => choice(empty, item);

/** Deeper than this, texts that begin alike are listed one by one. */
const sharedPrefixesMax = 100;

/** Any one of these texts; what they begin with in common is there once. */
export const oneOfTexts = (texts: readonly string[]): Expression => {
  const encoder = new TextEncoder();
  return oneOfBytes(
    [...new Set(texts)].map((literal) => encoder.encode(literal)),
    0,
    0,
  );
};

function oneOfBytes(literals: readonly Uint8Array[], from: number, depth: number): Expression {
  if (literals.length === 1 || depth > sharedPrefixesMax) {
    return choice(...literals.map((literal): Expression => ({ kind: 'bytes', bytes: [...literal.subarray(from)] })));
  }
  const byFirst = new Map<number | undefined, Uint8Array[]>();
  for (const literal of literals) {
    const group = byFirst.get(literal[from]);
    if (group === undefined) byFirst.set(literal[from], [literal]);
    else group.push(literal);
  }
  const options = Array.from(byFirst, ([first, group]): Expression => {
    if (first === undefined) return empty;
    const to = commonEnd(group, from + 1);
    return sequence(
      { kind: 'bytes', bytes: [...(group[0]?.subarray(from, to) ?? [])] },
      oneOfBytes(group, to, depth + 1),
    );
  });
  return choice(...options);
}

/** Where the first difference between any of these is, from a place where there is none yet. */
function commonEnd(literals: readonly Uint8Array[], from: number): number {
  const first = literals[0] ?? new Uint8Array(0);
  const differs = first.subarray(from).findIndex((byte, i) => literals.some((literal) => literal[from + i] !== byte));
  return differs < 0 ? first.length : from + differs;
}
