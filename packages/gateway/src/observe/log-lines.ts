/**
 * The last lines of the log in memory, for whoever can't reach the log itself. A pino destination before the real one.
 * Kept as bytes: as pino makes it, a line is a tree of small strings, and hundreds of those double the collector's work.
 */
import { Ring, type Unsubscribe } from './ring.ts';

export interface LogDestination {
  write(line: string): unknown;
  flush?(done?: (error?: Error) => void): void;
}

const linesMax = 500;
const bytesMax = 512 * 1024;

export class LogLines implements LogDestination {
  readonly #next: LogDestination;
  readonly #ring = new Ring<Buffer>(linesMax, bytesMax, (line) => line.length);

  constructor(next: LogDestination) {
    this.#next = next;
  }

  /** `line`: JSON with its newline, as pino writes it. */
  write(line: string): void {
    this.#ring.push(Buffer.from(line));
    this.#next.write(line);
  }

  /** What a buffering destination still holds is written. */
  flush(done?: (error?: Error) => void): void {
    if (this.#next.flush === undefined) done?.();
    else this.#next.flush(done);
  }

  /** JSON texts as they were logged, oldest first. */
  snapshot(): readonly string[] {
    return this.#ring.snapshot().map(String);
  }

  subscribe(listener: (line: string) => void): Unsubscribe {
    return this.#ring.subscribe((line) => listener(String(line)));
  }
}
