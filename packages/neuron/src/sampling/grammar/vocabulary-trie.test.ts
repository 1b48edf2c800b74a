import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { byteVocabulary } from '../../../test/grammar/toy-vocabulary.ts';
import { VocabularyTrie } from './vocabulary-trie.ts';

/** Each token's bytes as the walk over the trie spells them. */
function spelled(trie: VocabularyTrie): Map<number, string> {
  const words = new Map<number, string>();
  const path: number[] = [];
  for (let node = 0; node < trie.nNodes; node++) {
    path.length = trie.depthOf[node] ?? 0;
    path.push(trie.byteOf[node] ?? 0);
    for (const id of trie.tokens.subarray(trie.firstToken[node], trie.firstToken[node + 1])) {
      words.set(id, Buffer.from(path).toString('hex'));
    }
  }
  return words;
}

it('spells every token at its node, also those that share their bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 5, max: 3 }), { maxLength: 60 }), (tokens) => {
      const { table, eosId } = byteVocabulary(...tokens);
      const trie = new VocabularyTrie(table);
      const words = spelled(trie);
      expect(words.size).toBe(eosId);
      for (const [id, word] of words) expect(word).toBe(Buffer.from(trie.bytesOf(id)).toString('hex'));
    }),
    { numRuns: 50 },
  );
});

it('jumps over exactly what lies below a node', () => {
  const trie = new VocabularyTrie(byteVocabulary('ab', 'abc', 'abd', 'ac').table);
  const depths = [...trie.depthOf];
  depths.forEach((depth, node) => {
    const next = depths.findIndex((other, index) => index > node && other <= depth);
    expect(trie.endOf[node]).toBe(next < 0 ? trie.nNodes : next);
  });
});

it('leaves out control tokens and tokens without bytes', () => {
  const { table, eosId } = byteVocabulary('', 'x');
  const trie = new VocabularyTrie(table);
  expect([...trie.tokens].filter((id) => id === eosId || id === 256)).toEqual([]);
  expect(trie.nVocab).toBe(259);
  expect(trie.bytesOf(9999)).toHaveLength(0);
});
