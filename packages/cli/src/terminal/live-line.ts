/**
 * One line that tells how far something is: redrawn in place for a person who watches, and in a pipe or a file written
 * anew at each tenth of the way.
 */
import { bar } from './bar.ts';
import { widthOf } from './plain-text.ts';
import { percentText } from './quantities.ts';
import type { Terminal } from './terminal.ts';

const redrawMs = 100;
const barWidthMax = 24;
const barWidthMin = 6;
/** A terminal echoes `^C`, and a line that it wraps cannot be taken away again. */
const spareColumns = 3;

const clipped = (text: string, columns: number): string =>
  widthOf(text) <= columns ? text : Array.from(text).slice(0, columns).join('');

export class LiveLine {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  #drawnMs = Number.NEGATIVE_INFINITY;
  #shown = false;
  #tenths = -1;

  constructor(terminal: Terminal, now: () => number = () => performance.now()) {
    this.#terminal = terminal;
    this.#now = now;
  }

  /** @param fraction 0..1 */
  show(label: string, fraction: number, details: string): void {
    if (!this.#terminal.isTty) {
      const tenths = Math.floor(fraction * 10);
      if (tenths === this.#tenths) return;
      this.#tenths = tenths;
      this.#terminal.line([label, percentText(fraction), details].filter((part) => part !== '').join('  '));
      return;
    }
    const nowMs = this.#now();
    if (nowMs - this.#drawnMs < redrawMs && fraction < 1) return;
    this.#drawnMs = nowMs;
    const figures = `${percentText(fraction).padStart(5)}  ${details}`;
    const columns = this.#terminal.columns() - spareColumns;
    const left = columns - widthOf(label) - widthOf(figures) - 4;
    const drawn = bar(fraction, Math.min(barWidthMax, Math.max(barWidthMin, left)));
    this.#terminal.write(`\r\u001B[K${clipped(`${label}  ${drawn}  ${figures}`, columns)}`);
    this.#shown = true;
  }

  /** Takes it away, so that something else can be written there. */
  clear(): void {
    if (this.#shown) this.#terminal.write('\r\u001B[K');
    this.#shown = false;
  }
}
