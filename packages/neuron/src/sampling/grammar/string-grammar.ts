/** Text under a schema's string keywords, as a JSON string or, in an XML tool call, as it is. */
import { type CompileBudget, unsupported } from './compile-error.ts';
import { never, sequence, text, type Expression } from './expression.ts';
import { regexAutomaton } from './regex-automaton.ts';
import { stringFormats } from './string-formats.ts';
import { anyText, both, withLength, type TextAutomaton } from './text-automaton.ts';

export interface StringLimits {
  readonly minLength: number;
  readonly maxLength: number | null;
  readonly patterns: readonly string[];
  readonly formats: readonly string[];
}

/** `within`: what the surroundings allow at all (raw text must not hold its own closing tag). */
export function limitedText(
  limits: StringLimits,
  encoding: 'json' | 'raw',
  within: TextAutomaton,
  path: string,
  budget: CompileBudget,
): Expression {
  const { minLength: min, maxLength: max } = limits;
  if (max !== null && max < min) return never;
  const shapes = [...limits.patterns, ...limits.formats.map((name) => stringFormats.get(name) ?? '')];
  if (shapes.length === 0) return { kind: 'text', automaton: within, encoding, min, max };

  let automaton: TextAutomaton | null = within;
  for (const pattern of shapes) {
    const shape = regexAutomaton(pattern, `${path}/pattern`, budget);
    automaton = automaton === null || shape === null ? null : meet(automaton, shape, budget);
  }
  if (automaton !== null && (min > 0 || max !== null)) automaton = withLength(automaton, min, max, budget);
  return automaton === null ? never : { kind: 'text', automaton, encoding, min: 0, max: null };
}

/** Text that both accept; any text costs nothing to meet. */
const meet = (a: TextAutomaton, b: TextAutomaton, budget: CompileBudget): TextAutomaton | null =>
  a === anyText ? b : both(a, b, budget);

/** A JSON string, quotes and all. */
export function jsonString(limits: StringLimits, path: string, budget: CompileBudget): Expression {
  return sequence(text('"'), limitedText(limits, 'json', anyText, path, budget), text('"'));
}

export const freeString: Expression = sequence(
  text('"'),
  { kind: 'text', automaton: anyText, encoding: 'json', min: 0, max: null },
  text('"'),
);

/** Throws for a format that cannot be enforced. */
export function checkFormat(name: string, path: string): void {
  if (stringFormats.has(name)) return;
  throw unsupported('format', path, `"${name}" is none of ${[...stringFormats.keys()].join(', ')}`);
}
