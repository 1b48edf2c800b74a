/** An engine in a child process, one model at a time: llama.cpp's and our copies of ggml do not share a process. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Continuation, EngineAnswers, EngineCall, EngineReply } from './engine-calls.ts';

/** llama.cpp's program. */
export const llamaProgram = new URL('llama-program.ts', import.meta.url);
const root = fileURLToPath(new URL('../../../..', import.meta.url));

export type OpenOptions = Omit<Extract<EngineCall, { kind: 'open' }>, 'kind'>;

export class EngineProcess implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static start(program: URL): EngineProcess {
    const execArgv = ['--conditions=source', '--import', 'tsx'];
    return new EngineProcess(
      fork(fileURLToPath(program), { cwd: root, execArgv, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }),
    );
  }

  /** Opens its library. */
  async ready(): Promise<void> {
    await this.#ask({ kind: 'start' });
  }

  /** In place of the model before. @throws Error when the engine refuses it; why goes to standard error. */
  async open(options: OpenOptions): Promise<void> {
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
  decode(options: Omit<Extract<EngineCall, { kind: 'decode' }>, 'kind'>): Promise<readonly number[]> {
    return this.#ask({ kind: 'decode', ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }

  async #ask<Kind extends keyof EngineAnswers>(
    call: Extract<EngineCall, { readonly kind: Kind }>,
  ): Promise<EngineAnswers[Kind]> {
    this.#child.send(call);
    const answered = new AbortController();
    const { signal } = answered;
    const ended = once(this.#child, 'exit', { signal }).then(([code]): never => {
      throw new Error(`the engine ended with ${String(code)} at ${call.kind}`);
    });
    const message = once(this.#child, 'message', { signal });
    const [reply] = (await Promise.race([message, ended]).finally(() => {
      // Whichever did not come is no longer listened for.
      answered.abort();
      void Promise.allSettled([message, ended]);
    })) as [EngineReply];
    if (reply.kind === 'failed') throw new Error(`${call.kind}: ${reply.message}`);
    return reply.value as EngineAnswers[Kind];
  }
}
