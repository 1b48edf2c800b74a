/** How a command ends: signals, exit codes, and failures told to a person in a line, never with a stack. */
import { ConfigError, CortexError } from '@cortex/core';
import { CommanderError, type Command } from 'commander';

export const exitCodes = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

type Exit = (code: number) => never;

/** Ends the command with this code; all there is to say has been said. */
export class Ended extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`ended with ${code}`);
    this.code = code;
  }
}

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

/** Aborted, with `Ended` as the reason, at the first SIGINT or SIGTERM. */
export const interruption = (): AbortSignal => {
  const controller = new AbortController();
  void untilAskedToStop().then(() => controller.abort(new Ended(exitCodes.interrupted)));
  return controller.signal;
};

/** Calls at every SIGINT, which then does nothing else, until what is returned is called. */
export const onInterrupt = (listener: () => void): (() => void) => {
  process.on('SIGINT', listener);
  return () => process.off('SIGINT', listener);
};

const listenFailure = (error: NodeJS.ErrnoException & { address?: string; port?: number }): string | null => {
  const where = `cannot listen on ${error.address ?? '?'}:${error.port ?? '?'}`;
  if (error.code === 'EADDRINUSE') return `${where}: something else already does`;
  if (error.code === 'EACCES') return `${where}: not allowed to`;
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') return `${where}: this host has no such address`;
  return null;
};

/** Failures that their message explains; anything else is a fault of ours. */
const isExpected = (error: Error): boolean =>
  (error instanceof CortexError && error.code !== 'internal_error') ||
  error.name === 'LibraryError' ||
  ('code' in error && 'syscall' in error);

interface Explanation {
  readonly text: string;
  readonly code: number;
}

/** What went wrong, and the exit code that says whose fault it is. */
const explain = (thrown: unknown, debug: boolean): Explanation => {
  if (thrown instanceof Ended) return { text: '', code: thrown.code };
  if (thrown instanceof ConfigError) return { text: thrown.problems.join('\n'), code: exitCodes.usage };
  if (!(thrown instanceof Error)) return { text: String(thrown), code: exitCodes.failed };
  const listen = listenFailure(thrown);
  if (debug) return { text: thrown.stack ?? thrown.message, code: exitCodes.failed };
  if (listen !== null || isExpected(thrown)) return { text: listen ?? thrown.message, code: exitCodes.failed };
  const first = thrown.message.split('\n')[0] ?? '';
  return { text: `${thrown.name}: ${first} (CORTEX_DEBUG=1 shows where)`, code: exitCodes.failed };
};

/** `CORTEX_DEBUG` */
export const isDebugging = (env: Readonly<Record<string, string | undefined>>): boolean =>
  !['', '0', 'false', undefined].includes(env['CORTEX_DEBUG']);

export interface RunOptions {
  readonly exit?: Exit;
  /** Unexpected failures are told with their stack. */
  readonly debug?: boolean;
}

/** A reader that has seen enough (`| head`) ends the command, and that is no failure. */
const endWithReader = (exit: Exit): void => {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      exit(error.code === 'EPIPE' ? exitCodes.ok : exitCodes.failed);
    });
  }
};

/** Runs a command line (made with `exitOverride`) to its end, and the process with it: a hung device must not keep it. */
export const runCommand = async (
  command: Command,
  argv: readonly string[],
  { exit = process.exit, debug = false }: RunOptions = {},
): Promise<never> => {
  const fail = (thrown: unknown): never => {
    // Commander has already said what was wrong with the arguments.
    if (thrown instanceof CommanderError) return exit(thrown.exitCode === 0 ? exitCodes.ok : exitCodes.usage);
    const { text, code } = explain(thrown, debug);
    if (text !== '') console.error(text);
    return exit(code);
  };
  endWithReader(exit);
  // Nobody awaits these. A journal gets the stack; a person watching gets the line.
  process.on('uncaughtException', (thrown: unknown) => {
    if (!debug && !process.stderr.isTTY && thrown instanceof Error) console.error(thrown.stack);
    fail(thrown);
  });
  try {
    await command.parseAsync([...argv]);
    return exit(exitCodes.ok);
  } catch (thrown) {
    return fail(thrown);
  }
};
