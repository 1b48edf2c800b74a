/**
 * JSON without a schema, and the layout all generated JSON has: between tokens nothing, one space, or one line break
 * with up to 32 blanks of indentation; after a colon nothing or one space. So whitespace always ends.
 */
import {
  byteRange,
  choice,
  empty,
  oneOfTexts,
  optional,
  repeat,
  Rule,
  sequence,
  text,
  use,
  type Expression,
} from './expression.ts';
import { freeNumber } from './number-grammar.ts';
import { freeString } from './string-grammar.ts';

const indentMax = 32;
const indentation = new Rule(() => sequence(text('\n'), repeat(byteRange([0x20, 0x20], [0x09, 0x09]), 0, indentMax)));

/** Between tokens. */
export const space: Expression = choice(empty, text(' '), use(indentation));
export const colon: Expression = sequence(text(':'), optional(text(' ')));
/** Before the next of several items. */
export const comma: Expression = sequence(text(','), space);

/** Before the first item, and what closes the list. */
const opened = (bracket: '{' | '['): Expression => sequence(text(bracket), space);
export const closed = (bracket: '}' | ']'): Expression => sequence(space, text(bracket));

/** Blank lines that models put before their answer. */
export const leadingSpace: Expression = repeat(byteRange([0x0a, 0x0a], [0x20, 0x20]), 0, 4);

export const anyString = new Rule(() => freeString);

const listOf = (open: '{' | '[', item: Expression, close: '}' | ']'): Expression =>
  sequence(
    text(open),
    choice(text(close), sequence(space, item, repeat(sequence(comma, item), 0, null), closed(close))),
  );

export const anyObject = new Rule(() => listOf('{', sequence(use(anyString), colon, use(anyValue)), '}'));
const anyArray = new Rule(() => listOf('[', use(anyValue), ']'));
export const anyNumber = new Rule(() => freeNumber);
export const anyValue: Rule = new Rule(() =>
  choice(use(anyObject), use(anyArray), use(anyString), use(anyNumber), ...['true', 'false', 'null'].map(text)),
);

/** One JSON value, in the layout above; members in the order they are given. */
function literal(value: unknown): Expression {
  if (Array.isArray(value)) return bracketed('[', value.map(literal), ']');
  if (isNested(value)) {
    const members = Object.entries(value).map(([name, member]) =>
      sequence(text(JSON.stringify(name)), colon, literal(member)),
    );
    return bracketed('{', members, '}');
  }
  return text(JSON.stringify(value));
}

const isNested = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** Any one of these values. */
export function oneOfLiterals(values: readonly unknown[]): Expression {
  const plain = values.filter((value) => !isNested(value)).map((value) => JSON.stringify(value));
  const nested = values.filter(isNested).map(literal);
  return choice(...(plain.length === 0 ? [] : [oneOfTexts(plain)]), ...nested);
}

function bracketed(open: '{' | '[', items: readonly Expression[], close: '}' | ']'): Expression {
  if (items.length === 0) return text(open + close);
  const separated = items.flatMap((item, index) => (index === 0 ? [item] : [comma, item]));
  return sequence(opened(open), ...separated, closed(close));
}
