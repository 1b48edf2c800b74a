/**
 * Grammars, compiled off the main thread: a schema takes milliseconds, a hostile one some tenths of a second, a large
 * vocabulary's trie half a second. The compiler bounds its own work, so nothing here runs for ever. The thread starts
 * with the first job; one that dies fails what it had, and the next job starts another.
 */
import type { Worker } from 'node:worker_threads';
import { CortexError, type ErrorData } from '@cortex/core';
import type { CompiledConstraint } from '../sampling/grammar/compile-constraint.ts';
import type { ConstraintSpec } from '../sampling/grammar/spec.ts';
import type { TrieArrays, VocabularyTable } from '../sampling/grammar/vocabulary-trie.ts';
import { spawnWorker } from '../spawn-worker.ts';

export type GrammarJob =
  | { readonly kind: 'compile'; readonly spec: ConstraintSpec }
  | { readonly kind: 'trie'; readonly table: VocabularyTable };

export type GrammarResult =
  | { readonly kind: 'compiled'; readonly constraint: CompiledConstraint }
  | { readonly kind: 'trie'; readonly arrays: TrieArrays }
  | { readonly kind: 'failed'; readonly error: ErrorData };

interface Waiting {
  readonly resolve: (result: GrammarResult) => void;
  readonly reject: (error: CortexError) => void;
}

/** Jobs waiting; more are answered `overloaded`. */
const jobsMax = 256;

export class GrammarThread {
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | null = null;
  #nextJobId = 1;
  #isClosed = false;

  /** @throws CortexError as `compileConstraint`, and `overloaded`. */
  async compile(spec: ConstraintSpec): Promise<CompiledConstraint> {
    const result = await this.#run({ kind: 'compile', spec });
    if (result.kind !== 'compiled') throw new CortexError('internal_error', 'the grammar thread gave another answer');
    return result.constraint;
  }

  /** @throws CortexError `overloaded`. */
  async trie({ bytes, offsets, control }: VocabularyTable): Promise<TrieArrays> {
    const result = await this.#run({ kind: 'trie', table: { bytes, offsets, control } });
    if (result.kind !== 'trie') throw new CortexError('internal_error', 'the grammar thread gave another answer');
    return result.arrays;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  async #run(job: GrammarJob): Promise<GrammarResult> {
    if (this.#isClosed) throw new CortexError('overloaded', 'this neuron is shutting down');
    if (this.#waiting.size >= jobsMax) throw new CortexError('overloaded', `${jobsMax} grammars are being compiled`);
    const worker = (this.#worker ??= this.#start());
    const jobId = this.#nextJobId++;
    const result = await new Promise<GrammarResult>((resolve, reject) => {
      this.#waiting.set(jobId, { resolve, reject });
      worker.ref();
      try {
        worker.postMessage({ jobId, job }, []);
      } catch (error) {
        this.#waiting.delete(jobId);
        reject(new CortexError('invalid_request', 'the request is nested too deeply', { cause: error }));
      }
    });
    if (result.kind === 'failed') throw CortexError.fromData(result.error);
    return result;
  }

  #start(): Worker {
    const worker = spawnWorker(new URL('./grammar-worker.ts', import.meta.url), { name: 'grammars' });
    worker.on('message', ({ jobId, result }: { readonly jobId: number; readonly result: GrammarResult }) => {
      this.#waiting.get(jobId)?.resolve(result);
      this.#waiting.delete(jobId);
      if (this.#waiting.size === 0) worker.unref();
    });
    worker.on('error', (error) => this.#died(worker, error.message));
    worker.on('exit', (code) => this.#died(worker, `exit code ${code}`));
    return worker;
  }

  #died(worker: Worker, cause: string): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    const error = this.#isClosed
      ? new CortexError('overloaded', 'this neuron is shutting down')
      : new CortexError('internal_error', `the grammar thread ended: ${cause}`);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
