/** The logs of both programs on one terminal, as lines for a person; kept back while something else is on show. */
import type { Terminal } from '../terminal/terminal.ts';
import { isUrgent, logLineText, type LogSource } from './log-line.ts';

export class LogConsole {
  readonly #terminal: Terminal;
  #open = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** From now on also what is no warning. */
  open(): void {
    this.#open = true;
  }

  /** @param line JSON, with or without its newline */
  write(line: string, source: LogSource): void {
    if (!this.#open && !isUrgent(line)) return;
    const text = logLineText(line, source, this.#terminal);
    if (text === null) return;
    // In the place of a line that tells how far something is; that draws itself anew below.
    const place = !this.#open && this.#terminal.isTty ? '\r\u001B[K' : '';
    this.#terminal.line(`${place}${text}`);
  }
}
