/**
 * One sequence's constraint: a cursor in a grammar that bars, at each step, every token after which the output could no
 * longer become what the grammar demands. End-of-sequence is allowed exactly when the output is complete.
 */
import { CortexError } from '@cortex/core';
import { Automaton, dead } from './automaton.ts';
import type { CompiledConstraint } from './compile-constraint.ts';
import type { Program } from './program.ts';
import { applyMask, TokenMasks } from './token-masks.ts';
import type { VocabularyTrie } from './vocabulary-trie.ts';

/** States kept before an automaton is started afresh: this bounds a worker's memory, not the output. */
const statesMax = 10_000;

/** What all sequences under one grammar share: the automaton and the masks found so far. */
export class SharedGrammar {
  readonly program: Program;
  readonly trie: VocabularyTrie;
  automaton: Automaton;
  masks: TokenMasks;

  constructor(program: Program, trie: VocabularyTrie) {
    this.program = program;
    this.trie = trie;
    this.automaton = new Automaton(program);
    this.masks = new TokenMasks(this.automaton, trie);
  }

  /** Drops what was learnt when it has grown too large; cursors move over by `Automaton.adopt`. */
  trim(): void {
    if (this.automaton.nStates <= statesMax) return;
    this.automaton = new Automaton(this.program);
    this.masks = new TokenMasks(this.automaton, this.trie);
  }
}

/** The grammars in use by one worker and model; the one not used for longest goes first. */
export class GrammarCache {
  readonly #trie: VocabularyTrie;
  readonly #grammarsMax: number;
  readonly #grammars = new Map<string, SharedGrammar>();

  constructor(trie: VocabularyTrie, grammarsMax = 8) {
    this.#trie = trie;
    this.#grammarsMax = grammarsMax;
  }

  /** A constraint for a new sequence; `eosIds` are the tokens that end it. */
  constraint(compiled: CompiledConstraint, eosIds: readonly number[]): TokenConstraint {
    const { key, program } = compiled;
    const grammar = this.#grammars.get(key) ?? new SharedGrammar(program, this.#trie);
    this.#grammars.delete(key);
    this.#grammars.set(key, grammar);
    const [oldest] = this.#grammars.keys();
    if (this.#grammars.size > this.#grammarsMax && oldest !== undefined) this.#grammars.delete(oldest);
    return new TokenConstraint(compiled, grammar, eosIds);
  }
}

type Phase =
  /** Free text until `startAfter` has been said; this many of its ids have. */
  | { readonly kind: 'waiting'; readonly nMatched: number }
  | { readonly kind: 'constrained'; readonly state: number }
  | { readonly kind: 'ended' };

export class TokenConstraint {
  readonly #grammar: SharedGrammar;
  readonly #eosIds: readonly number[];
  readonly #startAfter: readonly number[];
  #automaton: Automaton;
  #phase: Phase;

  constructor(compiled: CompiledConstraint, grammar: SharedGrammar, eosIds: readonly number[]) {
    if (eosIds.length === 0) throw new CortexError('internal_error', 'a constrained output needs a token to end with');
    this.#grammar = grammar;
    this.#eosIds = eosIds;
    this.#startAfter = compiled.startAfter ?? [];
    this.#automaton = grammar.automaton;
    this.#phase = this.#startAfter.length > 0 ? { kind: 'waiting', nMatched: 0 } : this.#started();
  }

  /** Whether the output may end here. */
  get isComplete(): boolean {
    if (this.#phase.kind !== 'constrained') return this.#phase.kind === 'ended';
    return this.#automaton.isComplete(this.#phase.state);
  }

  /** Sets the logits of the tokens barred now to -Infinity. Throws `internal_error` when no token is left. */
  mask(logits: Float32Array): void {
    const ends = this.isComplete ? this.#eosIds.map((id) => [id, logits[id] ?? -Infinity] as const) : [];
    switch (this.#phase.kind) {
      case 'waiting':
        for (const id of this.#eosIds) logits[id] = -Infinity;
        break;
      case 'constrained':
        this.#maskState(logits, ends.length > 0);
        break;
      case 'ended':
        logits.fill(-Infinity);
        break;
    }
    for (const [id, logit] of ends) logits[id] = logit;
  }

  /** Moves on past a token. Throws `internal_error` for one that was barred. */
  accept(id: number): void {
    const phase = this.#phase;
    const ends = this.#eosIds.includes(id);
    if (ends && this.isComplete) {
      this.#phase = { kind: 'ended' };
      return;
    }
    switch (phase.kind) {
      case 'waiting':
        this.#phase = this.#awaited(phase.nMatched, id);
        return;
      case 'constrained':
        this.#phase = { kind: 'constrained', state: ends ? this.#barred(id) : this.#read(phase.state, id) };
        return;
      case 'ended':
        this.#barred(id);
    }
  }

  #started(): Phase {
    this.#automaton = this.#grammar.automaton;
    return { kind: 'constrained', state: this.#automaton.start };
  }

  #barred(id: number): never {
    throw new CortexError('internal_error', `token ${id} was chosen although the output's grammar bars it`);
  }

  #read(from: number, id: number): number {
    const bytes = this.#grammar.trie.bytesOf(id);
    if (bytes.length === 0 || this.#grammar.trie.isControl(id)) this.#barred(id);
    let state = from;
    for (const byte of bytes) {
      state = this.#automaton.advance(state, byte);
      if (state === dead) this.#barred(id);
    }
    return state;
  }

  #maskState(logits: Float32Array, mayEnd: boolean): void {
    const mask = this.#grammar.masks.maskOf(this.#currentState());
    if (mask.kind === 'few' && mask.ids.length === 0 && !mayEnd) {
      throw new CortexError('internal_error', 'no token of the vocabulary can continue the output under its grammar');
    }
    applyMask(mask, logits, this.#grammar.trie.nVocab);
  }

  /** The state, moved over when the grammar's automaton was started afresh. */
  #currentState(): number {
    this.#grammar.trim();
    if (this.#phase.kind !== 'constrained') return this.#automaton.start;
    if (this.#automaton !== this.#grammar.automaton) {
      const state = this.#grammar.automaton.adopt(this.#automaton, this.#phase.state);
      this.#automaton = this.#grammar.automaton;
      this.#phase = { kind: 'constrained', state };
    }
    return this.#phase.state;
  }

  /** Knuth, Morris and Pratt on token ids. */
  #awaited(nMatched: number, id: number): Phase {
    const wanted = this.#startAfter;
    const seen = [...wanted.slice(0, nMatched), id];
    for (let length = Math.min(seen.length, wanted.length); length > 0; length--) {
      const tail = seen.slice(seen.length - length);
      if (!tail.every((value, i) => value === wanted[i])) continue;
      return length === wanted.length ? this.#started() : { kind: 'waiting', nMatched: length };
    }
    return { kind: 'waiting', nMatched: 0 };
  }
}
