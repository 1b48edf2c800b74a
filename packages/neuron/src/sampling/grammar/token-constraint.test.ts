import { CortexError } from '@cortex/core';
import { describe, expect, it } from 'vitest';
import { jsonVocabulary as vocabulary, byteVocabulary } from '../../../test/grammar/toy-vocabulary.ts';
import { Sampler } from '../sampler.ts';
import { compileConstraint } from './compile-constraint.ts';
import type { ConstraintSpec } from './spec.ts';
import { GrammarCache, SharedGrammar, TokenConstraint } from './token-constraint.ts';
import { VocabularyTrie } from './vocabulary-trie.ts';

const trie = new VocabularyTrie(vocabulary.table);
const { eosId } = vocabulary;
const create = (spec: ConstraintSpec, eosIds: readonly number[] = [eosId]): TokenConstraint =>
  new GrammarCache(trie).constraint(compileConstraint(spec), eosIds);
const say = (constraint: TokenConstraint, text: string): void => {
  for (const byte of new TextEncoder().encode(text)) constraint.accept(byte);
};
const allowed = (constraint: TokenConstraint, nLogits = trie.nVocab): number[] => {
  const logits = new Float32Array(nLogits);
  constraint.mask(logits);
  return [...logits.keys()].filter((id) => logits[id] === 0);
};
const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return CortexError.from(error).code;
  }
  return 'nothing thrown';
};
const integer: ConstraintSpec = {
  kind: 'json_schema',
  schema: { type: 'integer', minimum: 0, maximum: 12 },
  startAfter: null,
};

describe('the end of the output', () => {
  it('is allowed exactly when the output is complete', () => {
    const constraint = create({ kind: 'json_object', startAfter: null });
    expect(constraint.isComplete).toBe(false);
    expect(allowed(constraint)).not.toContain(eosId);
    say(constraint, '{"a": 1}');
    expect(constraint.isComplete).toBe(true);
    expect(allowed(constraint)).toEqual([eosId]);
  });

  it('may be one of several choices', () => {
    const constraint = create(integer);
    say(constraint, '1');
    expect(allowed(constraint).map((id) => (id === eosId ? 'end' : Buffer.from(trie.bytesOf(id)).toString()))).toEqual([
      '0',
      '1',
      '2',
      'end',
    ]);
  });

  it('may be any of several tokens, and leaves nothing to say', () => {
    const constraint = create(integer, [eosId, eosId + 1]);
    say(constraint, '7');
    expect(allowed(constraint, trie.nVocab + 4)).toEqual([eosId, eosId + 1]);
    constraint.accept(eosId + 1);
    expect(constraint.isComplete).toBe(true);
    expect(allowed(constraint, trie.nVocab + 4)).toEqual([eosId, eosId + 1]);
    expect(codeOf(() => say(constraint, '1'))).toBe('internal_error');
  });
});

const waiting = (startAfter: readonly number[]): TokenConstraint => create({ ...integer, startAfter });

describe('a constraint that starts after a token sequence', () => {
  const [think, a, b] = [vocabulary.idOf('</'), 0x61, 0x62];

  it('bars only the end until then', () => {
    const constraint = waiting([think]);
    expect(allowed(constraint)).toEqual(Array.from({ length: eosId }, (_, id) => id));
    constraint.accept(a);
    expect(constraint.isComplete).toBe(false);
    constraint.accept(think);
    expect(allowed(constraint)).not.toContain(a);
    say(constraint, '\n\n12');
    expect(constraint.isComplete).toBe(true);
  });

  it('sees a sequence whose beginning repeats itself', () => {
    const constraint = waiting([a, a, b]);
    for (const id of [a, a, a]) constraint.accept(id);
    expect(allowed(constraint)).toContain(a);
    constraint.accept(b);
    expect(allowed(constraint)).not.toContain(a);
  });

  it('starts at once when the sequence is empty', () => {
    expect(allowed(waiting([]))).not.toContain(a);
  });
});

describe('a constraint misused', () => {
  it('refuses a token it had barred', () => {
    expect(codeOf(() => say(create(integer), 'x'))).toBe('internal_error');
    expect(codeOf(() => create(integer).accept(eosId))).toBe('internal_error');
    expect(codeOf(() => create(integer).accept(99_999))).toBe('internal_error');
  });

  it('says so when the vocabulary cannot go on', () => {
    const digits = byteVocabulary();
    const { table } = digits;
    // Without the byte "7" nothing can be said.
    const control = table.control.slice();
    control[0x37] = 1;
    const poor = new VocabularyTrie({ ...table, control });
    const compiled = compileConstraint({ kind: 'json_schema', schema: { const: 7 }, startAfter: null });
    const constraint = new TokenConstraint(compiled, new SharedGrammar(compiled.program, poor), [digits.eosId]);
    for (let i = 0; i < 4; i++) constraint.accept(0x20);
    expect(codeOf(() => constraint.mask(new Float32Array(poor.nVocab)))).toBe('internal_error');
  });

  it('needs a token to end with', () => {
    expect(codeOf(() => create(integer, []))).toBe('internal_error');
  });
});

describe('sequences under one grammar', () => {
  const spec: ConstraintSpec = {
    kind: 'json_schema',
    schema: { type: 'array', items: { type: 'string', maxLength: 900 }, maxItems: 500 },
    startAfter: null,
  };

  it('share what was learnt, and go their own ways', () => {
    const cache = new GrammarCache(trie);
    const compiled = compileConstraint(spec);
    const [x, y] = [cache.constraint(compiled, [eosId]), cache.constraint(compiled, [eosId])];
    say(x, '["a"');
    expect(allowed(y)).toContain(0x5b);
    say(y, '[]');
    expect([x.isComplete, y.isComplete]).toEqual([false, true]);
  });

  it('carry on when what was learnt is dropped for its size', () => {
    const compiled = compileConstraint(spec);
    const grammar = new SharedGrammar(compiled.program, trie);
    const long = new TokenConstraint(compiled, grammar, [eosId]);
    const other = new TokenConstraint(compiled, grammar, [eosId]);
    say(other, '["ab');
    const first = grammar.automaton;
    say(long, '["');
    // Every character counted is a state of its own, in as many places as there are escapes to be in the middle of.
    for (let round = 0; grammar.automaton === first && round < 100; round++) {
      say(long, `${'\\u00e9😀é\\n'.repeat(200)}", "`);
      allowed(long);
    }
    expect(grammar.automaton).not.toBe(first);
    expect(allowed(other)).toContain(0x22);
    say(other, '"]');
    expect(other.isComplete).toBe(true);
    say(long, 'x'.repeat(900));
    expect(allowed(long)).toEqual([0x22, vocabulary.idOf('", "')].sort((a, b) => a - b));
  });
});

it('works as the constraint of a sampler', () => {
  const params = {
    temperature: 1,
    topP: 1,
    topK: 0,
    minP: 0,
    presencePenalty: 0,
    frequencyPenalty: 0,
    repetitionPenalty: 1,
    logitBias: [],
    seed: 4,
  };
  const sampler = new Sampler(params, { nVocab: trie.nVocab, bannedIds: [] });
  const constraint = create({ kind: 'json_schema', schema: { enum: ['node', 'name', 'ab'] }, startAfter: null });
  const bytes: number[] = [];
  for (let step = 0; step < 40; step++) {
    const { id } = sampler.sample(new Float32Array(trie.nVocab + 7), { constraint, nTopLogprobs: null });
    constraint.accept(id);
    sampler.accept(id);
    if (id === eosId) break;
    bytes.push(...trie.bytesOf(id));
  }
  expect(['node', 'name', 'ab']).toContain(JSON.parse(Buffer.from(bytes).toString()));
});
