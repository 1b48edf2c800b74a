/** How a command ends: signals, exit codes, and failures told to a person in a line, never with a stack. */
import { ConfigError } from '@cortex/core';
import { CommanderError, type Command } from 'commander';

const exitCodes = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

type Exit = (code: number) => never;

/** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
export const untilAskedToStop = (exit: Exit = process.exit): Promise<NodeJS.Signals> =>
  new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals): void => {
      process.once('SIGINT', () => exit(exitCodes.interrupted));
      process.once('SIGTERM', () => exit(exitCodes.interrupted));
      resolve(signal);
    };
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
  });

const listenFailure = (error: NodeJS.ErrnoException & { address?: string; port?: number }): string | null => {
  const where = `cannot listen on ${error.address ?? '?'}:${error.port ?? '?'}`;
  if (error.code === 'EADDRINUSE') return `${where}: something else already does`;
  if (error.code === 'EACCES') return `${where}: not allowed to`;
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') return `${where}: this host has no such address`;
  return null;
};

/** What went wrong, and the exit code that says whose fault it is. */
const explain = (thrown: unknown): { readonly text: string; readonly code: number } => {
  if (thrown instanceof ConfigError) return { text: thrown.problems.join('\n'), code: exitCodes.usage };
  if (!(thrown instanceof Error)) return { text: String(thrown), code: exitCodes.failed };
  return { text: listenFailure(thrown) ?? thrown.message, code: exitCodes.failed };
};

/** Runs a command line (made with `exitOverride`) to its end, and the process with it: a hung device must not keep it. */
export const runCommand = async (
  command: Command,
  argv: readonly string[],
  exit: Exit = process.exit,
): Promise<never> => {
  try {
    await command.parseAsync([...argv]);
    return exit(exitCodes.ok);
  } catch (thrown) {
    // Commander has already said what was wrong with the arguments.
    if (thrown instanceof CommanderError) return exit(thrown.exitCode === 0 ? exitCodes.ok : exitCodes.usage);
    const { text, code } = explain(thrown);
    console.error(text);
    return exit(code);
  }
};
