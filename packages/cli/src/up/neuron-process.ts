/** One life of the neuron's process: started with its config, heard until it ends. */
import { fork, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { NeuronConfig } from '@cortex/core';
import type { FromNeuron, ToNeuron } from './neuron-messages.ts';

export interface NeuronEnd {
  /** `signal SIGSEGV`, `exit code 1`. */
  readonly how: string;
  /** What it wrote on standard error last, where native code says why it gives up. */
  readonly lastWords: readonly string[];
  readonly ranMs: number;
}

const lastWordsMax = 5;

/** Beside this file's folder, as source or built. */
const program = (): string => {
  const url = new URL('../neuron-child.ts', import.meta.url);
  if (import.meta.url.endsWith('.js')) url.pathname = url.pathname.replace(/\.ts$/, '.js');
  return fileURLToPath(url);
};

export class NeuronProcess {
  readonly pid: number | undefined;
  /** Rejects when it could not start, with what it said. */
  readonly listening: Promise<string>;
  readonly ended: Promise<NeuronEnd>;
  readonly #child: ChildProcess;
  readonly #lastWords: string[] = [];

  /** @param onLog takes each line of its log, JSON */
  constructor(config: NeuronConfig, onLog: (line: string) => void) {
    const startedMs = performance.now();
    const child = fork(program(), [], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
    this.#child = child;
    this.pid = child.pid;
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', onLog);
    if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', (line) => this.#hear(line));
    this.ended = new Promise((resolve) => {
      const end = (how: string): void =>
        resolve({ how, lastWords: this.#lastWords, ranMs: performance.now() - startedMs });
      child.once('error', (error) => end(error.message));
      child.once('close', (code, signal) => end(signal === null ? `exit code ${code}` : `signal ${signal}`));
    });
    this.listening = new Promise((resolve, reject) => {
      child.on('message', (message: FromNeuron) => {
        if (message.kind === 'listening') resolve(message.url);
        else reject(new Error(message.message));
      });
      void this.ended.then(({ how, lastWords }) =>
        reject(new Error([`it ended with ${how}`, ...lastWords].join('\n'))),
      );
    });
    // Whoever does not wait for it learns of the failure by `ended`.
    this.listening.catch(() => undefined);
    this.#tell({ kind: 'start', config });
  }

  /** Lets running requests end, then it ends. */
  stop(): void {
    this.#tell({ kind: 'stop' });
  }

  /** By force. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #hear(line: string): void {
    this.#lastWords.push(line);
    if (this.#lastWords.length > lastWordsMax) this.#lastWords.shift();
  }

  /** To one that has just died there is nothing to say. */
  #tell(message: ToNeuron): void {
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }
}
