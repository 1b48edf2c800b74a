/** A whole terminal that is drawn again and again: over what stood there, so that nothing flickers, and cut to its size. */
import type { Terminal } from './terminal.ts';

const home = '\u001B[H';
const clearBelow = '\u001B[J';
const clearLine = '\u001B[K';
const clearAll = '\u001B[2J';
/** A line that is too long is cut off by the terminal, which knows best how wide its characters are. */
const withoutWrap = '\u001B[?7l';
const withWrap = '\u001B[?7h';

export class Screen {
  readonly #terminal: Terminal;
  #begun = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(lines: readonly string[]): void {
    // The last row is left to the cursor.
    const rows = Math.max(1, this.#terminal.rows() - 1);
    const fits = lines.length <= rows;
    const shown = fits ? lines : lines.slice(0, rows - 1);
    const more = fits ? [] : [this.#terminal.style('dim', `… ${lines.length - shown.length} more lines`)];
    const text = [...shown, ...more].map((line) => `${line}${clearLine}\n`).join('');
    const begin = this.#begun ? '' : clearAll;
    this.#begun = true;
    this.#terminal.write(`${withoutWrap}${begin}${home}${text}${clearBelow}${withWrap}`);
  }
}
