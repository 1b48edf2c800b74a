/**
 * Grammars, compiled off the main thread: a schema takes milliseconds, a hostile one some tenths of a second, a large
 * vocabulary's trie half a second. The compiler bounds its own work, so nothing here runs for ever.
 */
import { CortexError } from '@cortex/core';
import type { CompiledConstraint } from '../sampling/grammar/compile-constraint.ts';
import type { ConstraintSpec } from '../sampling/grammar/spec.ts';
import type { TrieArrays, VocabularyTable } from '../sampling/grammar/vocabulary-trie.ts';
import { JobThread } from './job-thread.ts';

export type GrammarJob =
  | { readonly kind: 'compile'; readonly spec: ConstraintSpec }
  | { readonly kind: 'trie'; readonly table: VocabularyTable };

export type GrammarAnswer =
  | { readonly kind: 'compiled'; readonly constraint: CompiledConstraint }
  | { readonly kind: 'trie'; readonly arrays: TrieArrays };

const otherAnswer = (): CortexError => new CortexError('internal_error', 'the grammar thread gave another answer');

export class GrammarThread {
  readonly #thread = new JobThread<GrammarJob, GrammarAnswer>({
    url: new URL('./grammar-worker.ts', import.meta.url),
    name: 'grammars',
    work: 'grammars are being compiled',
    jobsMax: 256,
  });

  /** @throws CortexError as `compileConstraint`, and `overloaded`. */
  async compile(spec: ConstraintSpec): Promise<CompiledConstraint> {
    const answer = await this.#thread.run({ kind: 'compile', spec });
    if (answer.kind !== 'compiled') throw otherAnswer();
    return answer.constraint;
  }

  /** @throws CortexError `overloaded`. */
  async trie({ bytes, offsets, control }: VocabularyTable): Promise<TrieArrays> {
    const answer = await this.#thread.run({ kind: 'trie', table: { bytes, offsets, control } });
    if (answer.kind !== 'trie') throw otherAnswer();
    return answer.arrays;
  }

  close(): Promise<void> {
    return this.#thread.close();
  }
}
