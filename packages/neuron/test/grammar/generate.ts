/** What a model that knows nothing would write under a constraint: random tokens among those allowed. */
import { CompileBudget } from '../../src/sampling/grammar/compile-error.ts';
import { assemble } from '../../src/sampling/grammar/assemble.ts';
import { Automaton, dead } from '../../src/sampling/grammar/automaton.ts';
import { compileConstraint, type CompiledConstraint } from '../../src/sampling/grammar/compile-constraint.ts';
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

const closers = /^["\]}<\n]/;
/** Tokens after which those that may close something are preferred, every other step. */
const patience = 40;
const tokensMax = 4000;

/** Writes text after text under one grammar. */
export class RandomWriter {
  readonly #vocabulary: ToyVocabulary;
  readonly #compiled: CompiledConstraint;
  readonly #grammar: SharedGrammar;
  readonly #closes: readonly boolean[];

  constructor(spec: GrammarSpec, vocabulary: ToyVocabulary, trie: VocabularyTrie) {
    this.#vocabulary = vocabulary;
    this.#compiled = compileConstraint({ ...spec, startAfter: null });
    this.#grammar = new SharedGrammar(this.#compiled.program, trie);
    this.#closes = Array.from({ length: trie.nVocab }, (_, id) =>
      closers.test(Buffer.from(trie.bytesOf(id)).toString('latin1')),
    );
  }

  /** The whole text, which must be UTF-8; throws when it does not end. */
  write(seed: number): string {
    const { trie } = this.#grammar;
    const constraint = new TokenConstraint(this.#compiled, this.#grammar, [this.#vocabulary.eosId]);
    const random = new Random(seed);
    const logits = new Float32Array(trie.nVocab);
    const chunks: Uint8Array[] = [];
    for (let step = 0; step < tokensMax; step++) {
      logits.fill(0);
      constraint.mask(logits);
      const id = this.#choose(logits, random, step > patience && step % 2 === 0);
      constraint.accept(id);
      if (id === this.#vocabulary.eosId) {
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
      }
      chunks.push(trie.bytesOf(id));
    }
    throw new Error(`no end after ${tokensMax} tokens: ${Buffer.concat(chunks).toString('utf8').slice(0, 300)}`);
  }

  #choose(logits: Float32Array, random: Random, hurry: boolean): number {
    const allowed = [...logits.keys()].filter((id) => logits[id] === 0);
    const closing = hurry ? allowed.filter((id) => this.#closes[id]) : [];
    if (allowed.includes(this.#vocabulary.eosId) && (hurry || random.next() < 0.3)) return this.#vocabulary.eosId;
    const pool = closing.length > 0 ? closing : allowed;
    return pool[Math.floor(random.next() * pool.length)] ?? -1;
  }
}
