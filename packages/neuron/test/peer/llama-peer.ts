/** llama.cpp as another program to compare with: a child process that holds one model at a time. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Continuation, LlamaAnswers, LlamaCall, LlamaReply } from './llama-calls.ts';

const program = fileURLToPath(new URL('llama-program.ts', import.meta.url));
const root = fileURLToPath(new URL('../../../..', import.meta.url));

export type LlamaPeerOptions = Omit<Extract<LlamaCall, { kind: 'open' }>, 'kind'>;

export class LlamaPeer implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static start(): LlamaPeer {
    const execArgv = ['--conditions=source', '--import', 'tsx'];
    return new LlamaPeer(fork(program, { cwd: root, execArgv, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }));
  }

  /** In place of the model before. @throws Error when llama.cpp refuses the file; why goes to standard error. */
  async open(options: LlamaPeerOptions): Promise<void> {
    await this.#ask({ kind: 'open', ...options });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  tokenize(text: string, { parseSpecial }: { readonly parseSpecial: boolean }): Promise<readonly number[]> {
    return this.#ask({ kind: 'tokenize', text, parseSpecial });
  }

  /** Greedy, from an empty sequence. */
  continue(ids: readonly number[], n: number): Promise<Continuation> {
    return this.#ask({ kind: 'continue', ids, n });
  }

  /** Milliseconds. */
  prefill(ids: readonly number[]): Promise<number> {
    return this.#ask({ kind: 'prefill', ids });
  }

  /** Milliseconds of each step. */
  decode(options: Omit<Extract<LlamaCall, { kind: 'decode' }>, 'kind'>): Promise<readonly number[]> {
    return this.#ask({ kind: 'decode', ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }

  async #ask<Kind extends keyof LlamaAnswers>(
    call: Extract<LlamaCall, { readonly kind: Kind }>,
  ): Promise<LlamaAnswers[Kind]> {
    this.#child.send(call);
    const failed = once(this.#child, 'exit').then(([code]): never => {
      throw new Error(`llama.cpp ended with ${String(code)} at ${call.kind}`);
    });
    const [reply] = (await Promise.race([once(this.#child, 'message'), failed])) as [LlamaReply];
    if (reply.kind === 'failed') throw new Error(`llama.cpp at ${call.kind}: ${reply.message}`);
    return reply.value as LlamaAnswers[Kind];
  }
}
