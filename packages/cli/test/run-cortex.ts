/** The `cortex` program as a process, from source. */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../src/cortex.ts', import.meta.url));
const tsx = import.meta.resolve('tsx');

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface RunOptions {
  /** The whole environment, but for PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Standard input; nothing when left out. */
  readonly input?: string;
}

export class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  out = '';
  err = '';

  constructor(args: readonly string[], { env = {}, cwd, input }: RunOptions = {}) {
    this.child = spawn(process.execPath, ['--conditions=source', '--import', tsx, program, ...args], {
      env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.child.stdin?.end(input ?? '');
    this.child.stdout?.on('data', (chunk) => (this.out += String(chunk)));
    this.child.stderr?.on('data', (chunk) => (this.err += String(chunk)));
    this.ended = new Promise((resolve) =>
      this.child.once('close', (code) => resolve({ code, out: this.out, err: this.err })),
    );
  }

  /** What the pattern finds in standard output, once it does. @throws Error when the program ends before. */
  found(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#match(pattern, () => this.out);
  }

  /** The same for standard error. */
  told(pattern: RegExp): Promise<RegExpExecArray> {
    return this.#match(pattern, () => this.err);
  }

  async #match(pattern: RegExp, text: () => string): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(text());
      if (match !== null) return match;
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`ended without ${String(pattern)}:\n${this.out}${this.err}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

export const cortex = (args: readonly string[], options: RunOptions = {}): Promise<Ended> =>
  new Running(args, options).ended;

/** Whether a process of this id is there. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
