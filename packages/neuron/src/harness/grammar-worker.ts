/** The thread behind `GrammarThread`: schemas compiled and tries built, one job at a time. */
import { parentPort } from 'node:worker_threads';
import { CortexError } from '@cortex/core';
import { compileConstraint } from '../sampling/grammar/compile-constraint.ts';
import { VocabularyTrie } from '../sampling/grammar/vocabulary-trie.ts';
import type { GrammarJob, GrammarResult } from './grammar-thread.ts';

const port = parentPort;
if (port === null) throw new Error('grammar-worker.ts runs as a worker thread only');

const run = (job: GrammarJob): GrammarResult => {
  switch (job.kind) {
    case 'compile':
      return { kind: 'compiled', constraint: compileConstraint(job.spec) };
    case 'trie':
      return { kind: 'trie', arrays: new VocabularyTrie(job.table).arrays };
  }
};

port.on('message', ({ jobId, job }: { readonly jobId: number; readonly job: GrammarJob }) => {
  try {
    port.postMessage({ jobId, result: run(job) });
  } catch (error) {
    port.postMessage({ jobId, result: { kind: 'failed', error: CortexError.from(error).toData() } });
  }
});
