/** The parent's side of `harness-program.ts`: one order at a time. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { root } from '../../test/e2e/neuron-process.ts';
import type { HarnessOrder } from '../../packages/neuron/test/peer/harness-program.ts';

const program = new URL('../../packages/neuron/test/peer/harness-program.ts', import.meta.url);

export class EngineChild implements AsyncDisposable {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(fileURLToPath(program), {
      cwd: root,
      execArgv: ['--conditions=source', '--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
  }

  /** Milliseconds. @throws Error with what went wrong there. */
  async order(order: HarnessOrder): Promise<number> {
    this.#child.send(order);
    const [reply] = (await once(this.#child, 'message')) as [{ readonly ms?: number; readonly error?: string }];
    if (reply.ms === undefined) throw new Error(`the engine: ${reply.error}`);
    return reply.ms;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
