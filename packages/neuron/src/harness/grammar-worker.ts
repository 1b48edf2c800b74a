/** The thread behind `GrammarThread`: schemas compiled and tries built. */
import { compileConstraint } from '../sampling/grammar/compile-constraint.ts';
import { VocabularyTrie } from '../sampling/grammar/vocabulary-trie.ts';
import type { GrammarAnswer, GrammarJob } from './grammar-thread.ts';
import { serveJobs } from './serve-jobs.ts';

serveJobs((job: GrammarJob): GrammarAnswer => {
  switch (job.kind) {
    case 'compile':
      return { kind: 'compiled', constraint: compileConstraint(job.spec) };
    case 'trie':
      return { kind: 'trie', arrays: new VocabularyTrie(job.table).arrays };
  }
});
