import { describe, expect, it } from 'vitest';
import { schemaSpec, type GrammarSpec } from '../../../test/grammar/generate.ts';
import { fixtureVocabulary, jsonVocabulary } from '../../../test/grammar/toy-vocabulary.ts';
import { Random } from '../random.ts';
import { Automaton, dead } from './automaton.ts';
import { compileConstraint } from './compile-constraint.ts';
import { applyMask, TokenMasks } from './token-masks.ts';
import { VocabularyTrie } from './vocabulary-trie.ts';

const tries = [jsonVocabulary, fixtureVocabulary()].map(({ table }) => new VocabularyTrie(table));
const automatonOf = (spec: GrammarSpec): Automaton =>
  new Automaton(compileConstraint({ ...spec, startAfter: null }).program);

function after(automaton: Automaton, state: number, bytes: Uint8Array): number {
  let at = state;
  for (const byte of bytes) {
    at = automaton.advance(at, byte);
    if (at === dead) break;
  }
  return at;
}

/** The tokens whose bytes the automaton can read: the definition of the mask. */
const readable = (automaton: Automaton, trie: VocabularyTrie, state: number): number[] =>
  [...trie.tokens].filter((id) => after(automaton, state, trie.bytesOf(id)) !== dead).sort((a, b) => a - b);

function masked(masks: TokenMasks, trie: VocabularyTrie, state: number): number[] {
  const logits = new Float32Array(trie.nVocab + 5);
  applyMask(masks.maskOf(state), logits, trie.nVocab);
  return [...logits.keys()].filter((id) => logits[id] === 0);
}

const tool = {
  name: 'run',
  parameters: {
    type: 'object',
    properties: { code: { type: 'string' }, n: { type: 'integer' }, short: { type: 'string', maxLength: 20 } },
    required: ['code'],
  },
};
const specs: readonly (readonly [string, GrammarSpec])[] = [
  ['json_object', { kind: 'json_object' }],
  ['counted text', schemaSpec({ type: 'array', items: { type: 'string', minLength: 20, maxLength: 40 } })],
  ['counted items', schemaSpec({ type: 'array', items: { type: 'boolean' }, minItems: 9, maxItems: 60 })],
  ['alternatives', schemaSpec({ anyOf: [{ enum: ['node', 'name', 'ab'] }, { type: 'string', pattern: '^(n|é)+$' }] })],
  ['xml calls', { kind: 'tool_call', format: 'xml', tools: [tool], choice: 'required', parallel: true }],
  ['json calls', { kind: 'tool_call', format: 'json', tools: [tool], choice: 'required', parallel: true }],
];

describe('token masks', () => {
  it.each(specs)('allow what the automaton reads, at every step: %s', (_, spec) => {
    for (const trie of tries) {
      const automaton = automatonOf(spec);
      const masks = new TokenMasks(automaton, trie);
      const random = new Random(5);
      let state = automaton.start;
      for (let step = 0; step < 60; step++) {
        const allowed = readable(automaton, trie, state);
        expect(masked(masks, trie, state)).toEqual(allowed);
        if (allowed.length === 0) break;
        state = after(automaton, state, trie.bytesOf(allowed[Math.floor(random.next() * allowed.length)] ?? 0));
      }
    }
  });

  it('never allow nesting that could not be closed, and always a way out', () => {
    const automaton = automatonOf({ kind: 'json_object' });
    for (const trie of tries) {
      const masks = new TokenMasks(automaton, trie);
      let state = after(automaton, automaton.start, Buffer.from('{"":'));
      const open = trie.tokens.find((id) => Buffer.from(trie.bytesOf(id)).toString() === '[') ?? -1;
      let depth = 0;
      for (; masked(masks, trie, state).includes(open); depth++) state = automaton.advance(state, 0x5b);
      expect(depth).toBeGreaterThan(50);
      const allowed = masked(masks, trie, state);
      expect(allowed.length).toBeGreaterThan(0);
      for (const id of allowed) expect(after(automaton, state, trie.bytesOf(id))).not.toBe(dead);
      const closed = after(automaton, state, Buffer.from(`${']'.repeat(depth)}}`));
      expect(automaton.isComplete(closed)).toBe(true);
    }
  });

  it('bar everything beyond the vocabulary, whatever form the mask has', () => {
    const logits = new Float32Array(70);
    const words = Uint32Array.of(0b1010, 0);
    applyMask({ kind: 'many', words }, logits, 40);
    expect([...logits.keys()].filter((id) => logits[id] === 0)).toEqual([1, 3]);
    for (const mask of [
      { kind: 'few', ids: Int32Array.of(2) } as const,
      { kind: 'most', barred: Int32Array.of(2) } as const,
    ]) {
      const row = new Float32Array(70);
      applyMask(mask, row, 40);
      expect(row.slice(40).every((logit) => logit === -Infinity)).toBe(true);
      expect(row[2]).toBe(mask.kind === 'few' ? 0 : -Infinity);
    }
  });
});
