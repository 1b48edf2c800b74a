import { afterAll, describe, expect, it } from 'vitest';
import { byteVocabulary } from '../../test/grammar/toy-vocabulary.ts';
import { compileConstraint } from '../sampling/grammar/compile-constraint.ts';
import type { ConstraintSpec, JsonSchema } from '../sampling/grammar/spec.ts';
import { VocabularyTrie } from '../sampling/grammar/vocabulary-trie.ts';
import { GrammarThread } from './grammar-thread.ts';

const spec = (schema: JsonSchema): ConstraintSpec => ({ kind: 'json_schema', schema, startAfter: null });

describe('grammars on their own thread', () => {
  const thread = new GrammarThread();
  afterAll(() => thread.close());

  it('are what they are when compiled here', async () => {
    const one = spec({ type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] });
    expect(await thread.compile(one)).toEqual(compileConstraint(one));
  });

  it('fail with the error they would have here, and the thread goes on', async () => {
    const bad = spec({ type: 'nonsense' });
    expect(() => compileConstraint(bad)).toThrow('nonsense');
    await expect(thread.compile(bad)).rejects.toThrow('nonsense');
    await expect(thread.compile(spec(true))).resolves.toMatchObject({ startAfter: null });
  });

  it('have a trie that is as good as one built here', async () => {
    const { table } = byteVocabulary('ab', 'abc', 'abd');
    const trie = new VocabularyTrie(table, await thread.trie(table));
    expect(trie.arrays).toEqual(new VocabularyTrie(table).arrays);
    expect(trie.bytesOf(97)).toEqual(new VocabularyTrie(table).bytesOf(97));
  });

  it('are refused once it is closed', async () => {
    const closed = new GrammarThread();
    await closed.compile(spec(true));
    await closed.close();
    await expect(closed.compile(spec(true))).rejects.toMatchObject({ code: 'overloaded' });
  });
});
