/**
 * From a request's constraint to the program that enforces it: validates everything, so that what fails fails before
 * any device work. Work is bounded: a schema that explodes is refused. The result is plain data and crosses threads.
 */
import { createHash } from 'node:crypto';
import { CortexError } from '@cortex/core';
import { assemble } from './assemble.ts';
import { CompileBudget } from './compile-error.ts';
import { exhausted } from './exhausted.ts';
import { sequence, use, type Expression } from './expression.ts';
import { JsonGrammar } from './json-grammar.ts';
import { anyObject, leadingSpace } from './json-syntax.ts';
import type { Program } from './program.ts';
import { SchemaDocument } from './schema-document.ts';
import type { ConstraintSpec } from './spec.ts';
import { toolCallGrammar } from './tool-grammar.ts';

export interface CompiledConstraint {
  /** Equal for equal grammars: what a worker has learnt about one serves all requests with it. */
  readonly key: string;
  readonly program: Program;
  readonly startAfter: readonly number[] | null;
}

/** Some tenths of a second of work at the very most; what agents send takes a hundredth of it. */
const stepsMax = 150_000;

/**
 * Throws `unsupported_parameter` for JSON Schema that cannot be enforced, naming keyword and place, and
 * `invalid_request` for what is no schema, what nothing satisfies, and what is too large.
 */
export function compileConstraint(spec: ConstraintSpec): CompiledConstraint {
  const param = spec.kind === 'tool_call' ? 'tools' : 'response_format';
  const budget = new CompileBudget(stepsMax);
  try {
    const program = assemble(grammarOf(spec, budget), budget);
    const { startAfter, ...grammar } = spec;
    const key = createHash('sha256').update(JSON.stringify(grammar)).digest('base64url');
    return { key, program, startAfter };
  } catch (error) {
    if (!(error instanceof CortexError) || error.param !== undefined) throw error;
    throw new CortexError(error.code, error.message, { param, facts: error.facts, cause: error });
  }
}

function grammarOf(spec: ConstraintSpec, budget: CompileBudget): Expression {
  switch (spec.kind) {
    case 'json_object':
      return sequence(leadingSpace, use(anyObject));
    case 'json_schema': {
      let id = 0;
      const document = new SchemaDocument(spec.schema, '#', () => id++);
      return sequence(leadingSpace, use(new JsonGrammar(document, budget).rule([document.root])));
    }
    case 'tool_call':
      return toolCallGrammar(spec, budget);
    default:
      return exhausted(spec);
  }
}
