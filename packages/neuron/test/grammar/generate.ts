/** What a model that knows nothing would write under a constraint: random tokens among those allowed. */
import { CompileBudget } from '../../src/sampling/grammar/compile-error.ts';
import { assemble } from '../../src/sampling/grammar/assemble.ts';
import { Automaton, dead } from '../../src/sampling/grammar/automaton.ts';
import { compileConstraint } from '../../src/sampling/grammar/compile-constraint.ts';
import type { Expression } from '../../src/sampling/grammar/expression.ts';
import type { Program } from '../../src/sampling/grammar/program.ts';
import { automatonAccepts, type TextAutomaton } from '../../src/sampling/grammar/text-automaton.ts';
import type { ConstraintSpec, JsonSchema } from '../../src/sampling/grammar/spec.ts';
import { SharedGrammar, TokenConstraint } from '../../src/sampling/grammar/token-constraint.ts';
import type { VocabularyTrie } from '../../src/sampling/grammar/vocabulary-trie.ts';
import { Random } from '../../src/sampling/random.ts';
import type { ToyVocabulary } from './toy-vocabulary.ts';

type Grammar<Spec> = Spec extends ConstraintSpec ? Omit<Spec, 'startAfter'> : never;
/** A constraint that starts at once. */
export type GrammarSpec = Grammar<ConstraintSpec>;

export const schemaSpec = (schema: JsonSchema): GrammarSpec => ({ kind: 'json_schema', schema });

/** Room for a test's own compilations. */
export const testBudget = (): CompileBudget => new CompileBudget(1_000_000);

/** Tells whether a whole text is what the program's grammar asks for. */
function matcher(program: Program): (text: string | Uint8Array) => boolean {
  const automaton = new Automaton(program);
  return (text) => {
    let state = automaton.start;
    for (const byte of typeof text === 'string' ? new TextEncoder().encode(text) : text) {
      state = automaton.advance(state, byte);
      if (state === dead) return false;
    }
    return automaton.isComplete(state);
  };
}

export const matcherOf = (expression: Expression): ((text: string | Uint8Array) => boolean) =>
  matcher(assemble(expression, testBudget()));

export const matcherOfSpec = (spec: GrammarSpec): ((text: string | Uint8Array) => boolean) =>
  matcher(compileConstraint({ ...spec, startAfter: null }).program);

/** Whether an automaton over characters accepts the text. */
export const acceptsText = (automaton: TextAutomaton | null, text: string): boolean =>
  automaton !== null && automatonAccepts(automaton, text);

export interface Generated {
  readonly text: string;
  readonly nTokens: number;
}

const closers = /^["\]}<\n]/;
/** Tokens after which what would end the text becomes likelier, every other step. */
const patience = 40;

/**
 * Tokens until end-of-sequence; throws when that does not come within `nTokensMax`. The bytes must be UTF-8.
 * `check`: called before each choice with the constraint and the logits it allows.
 */
export function generate(
  spec: GrammarSpec,
  vocabulary: ToyVocabulary,
  trie: VocabularyTrie,
  seed: number,
  nTokensMax = 3000,
): Generated {
  const compiled = compileConstraint({ ...spec, startAfter: null });
  const grammar = new SharedGrammar(compiled.program, trie);
  const constraint = new TokenConstraint(compiled, grammar, [vocabulary.eosId]);
  const random = new Random(seed);
  const isCloser = Uint8Array.from({ length: trie.nVocab }, (_, id) =>
    closers.test(Buffer.from(trie.bytesOf(id)).toString('latin1')) ? 1 : 0,
  );
  const chunks: Uint8Array[] = [];
  const logits = new Float32Array(trie.nVocab);
  for (let step = 0; step < nTokensMax; step++) {
    const urge = step % 2 === 0 ? 0 : Math.max(0, step - patience) / 20;
    logits.forEach((_, id) => (logits[id] = random.next() * 6 + (isCloser[id] === 1 ? urge : 0)));
    logits[vocabulary.eosId] = 4 + 4 * urge;
    constraint.mask(logits);
    const id = logits.indexOf(Math.max(...logits));
    constraint.accept(id);
    if (id === vocabulary.eosId) {
      return {
        text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks)),
        nTokens: step,
      };
    }
    chunks.push(trie.bytesOf(id));
  }
  throw new Error(`no end after ${nTokensMax} tokens: ${Buffer.concat(chunks).toString('utf8').slice(0, 300)}`);
}
