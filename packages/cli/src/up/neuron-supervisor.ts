/**
 * Keeps a neuron running: when its process dies, another takes its place on the same port, after a pause that grows
 * while it keeps dying. The first start alone must succeed, or fails for good.
 */
import { CortexError, type NeuronConfig } from '@cortex/core';
import { NeuronProcess, type NeuronEnd } from './neuron-process.ts';
import { restartAfter } from './restart-delay.ts';

/** Beside the time for running requests: for freeing the devices, before it is ended by force. */
const closeMs = 20_000;

export type SupervisorEvent =
  | { readonly kind: 'died'; readonly end: NeuronEnd; readonly restartMs: number }
  | { readonly kind: 'back'; readonly pid: number | undefined };

export interface SupervisorOptions {
  onLog(line: string): void;
  onEvent(event: SupervisorEvent): void;
}

export class NeuronSupervisor {
  readonly #options: SupervisorOptions;
  #config: NeuronConfig;
  #process: NeuronProcess;
  #deaths = 0;
  #closing = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: NeuronConfig, options: SupervisorOptions) {
    this.#config = config;
    this.#options = options;
    this.#process = new NeuronProcess(config, options.onLog);
  }

  /** Where it listens, once. @throws what it said when it could not start. */
  async start(): Promise<string> {
    const first = this.#process;
    const url = await first.listening.catch((error: Error) => {
      throw new CortexError('upstream_error', `the neuron could not start: ${error.message}`);
    });
    // Whatever port the first one got, those after it take the same: the gateway knows no other.
    this.#config = { ...this.#config, port: Number(new URL(url).port) };
    void this.#watch(first);
    return url;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Resolves when its process has ended, running requests having been let end first. */
  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#timer);
    const last = this.#process;
    last.stop();
    const late = setTimeout(() => last.kill(), this.#config.drain_secs * 1000 + closeMs);
    await last.ended;
    clearTimeout(late);
  }

  async #watch(life: NeuronProcess): Promise<void> {
    const end = await life.ended;
    if (this.#closing) return;
    const restart = restartAfter(this.#deaths, end.ranMs);
    this.#deaths = restart.deaths;
    this.#options.onEvent({ kind: 'died', end, restartMs: restart.delayMs });
    this.#timer = setTimeout(() => this.#startAgain(), restart.delayMs);
  }

  #startAgain(): void {
    const next = new NeuronProcess(this.#config, this.#options.onLog);
    this.#process = next;
    void next.listening.then(
      () => this.#options.onEvent({ kind: 'back', pid: next.pid }),
      // It dies of it, and that is told.
      () => undefined,
    );
    void this.#watch(next);
  }
}
