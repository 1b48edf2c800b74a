/** What the commands are given of the process they run in; only the programs make it. */
import type { ReadStream, WriteStream } from 'node:tty';
import type { Terminal } from './terminal/terminal.ts';

export interface CommandParts {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly homeDir: string;
  /** The file of the running program, for commands that start it once more. */
  readonly program: string;
  readonly stdin: ReadStream;
  /** Beneath `out`, for a line editor. */
  readonly stdout: WriteStream;
  /** What was asked for. */
  readonly out: Terminal;
  /** Remarks beside it: progress, warnings. */
  readonly err: Terminal;
  /** Resolves at the first SIGINT or SIGTERM; a second one ends the process at once. */
  untilAskedToStop(): Promise<unknown>;
  /** Aborted at the first SIGINT or SIGTERM; a second one ends the process at once. */
  interruption(): AbortSignal;
  /** Calls at every SIGINT, which then does nothing else, until what is returned is called. */
  onInterrupt(listener: () => void): () => void;
}
