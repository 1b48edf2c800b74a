/** The parent's side of `harness-program.ts`: one order at a time. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { CompletionRequest } from '@cortex/core';
import type { HarnessOrder, HarnessReply } from '../../packages/neuron/test/peer/harness-program.ts';
import { root } from '../../test/e2e/neuron-process.ts';

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

  /** The address at which the same engine answers over HTTP. @throws Error with what went wrong there. */
  async open(modelDir: string, ggml: Readonly<Record<string, unknown>>): Promise<string> {
    return (await this.#order({ kind: 'open', modelDir, ggml }, 'opened')).url;
  }

  /** Milliseconds from the first piece to the last, without HTTP. @throws Error with what went wrong there. */
  async complete(request: CompletionRequest): Promise<number> {
    return (await this.#order({ kind: 'complete', request }, 'completed')).ms;
  }

  async #order<K extends HarnessReply['kind']>(
    order: HarnessOrder,
    kind: K,
  ): Promise<Extract<HarnessReply, { kind: K }>> {
    this.#child.send(order);
    const [reply] = (await once(this.#child, 'message')) as [HarnessReply];
    if (reply.kind === 'failed') throw new Error(`the engine: ${reply.message}`);
    if (reply.kind !== kind) throw new Error(`the engine was asked to be ${kind} and is ${reply.kind}`);
    return reply as Extract<HarnessReply, { kind: K }>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}
