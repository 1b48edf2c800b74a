/** Runs a small program for its output, within a time. Never throws: each way to fail is a result. */
import { spawn } from 'node:child_process';

export type ProgramResult =
  | { readonly kind: 'exited'; readonly code: number; readonly stdout: string; readonly stderr: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'timeout' };

export type RunProgram = (program: string, args: readonly string[], timeoutMs: number) => Promise<ProgramResult>;

/** What a program may print before the rest is dropped. */
const outputCharsMax = 1_000_000;

/** `code` of a program that is there but could not be started: no permission, no process or file left. */
const notStarted = -1;

const failed = (error: unknown): ProgramResult => ({
  kind: 'exited',
  code: notStarted,
  stdout: '',
  stderr: error instanceof Error ? error.message : String(error),
});

const run: RunProgram = (program, args, timeoutMs) =>
  new Promise((resolve) => {
    const child = spawn(program, [...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        if (output[name].length < outputCharsMax) output[name] += text;
      });
    }
    // A program stuck in a hung driver cannot even be killed: answer without waiting for its end.
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.unref();
      // Its own children may live on and hold the other ends.
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ kind: 'timeout' });
    }, timeoutMs);
    child.once('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      resolve(error.code === 'ENOENT' ? { kind: 'missing' } : failed(error));
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ kind: 'exited', code: code ?? -1, ...output });
    });
  });

export const runProgram: RunProgram = (program, args, timeoutMs) =>
  // Out of file handles, there are no pipes to listen to.
  run(program, args, timeoutMs).catch(failed);
