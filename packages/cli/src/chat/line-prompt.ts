/**
 * Reads lines from a person with editing and history. The terminal is in raw mode only while a line is awaited, so
 * that a Ctrl-C during an answer is the signal it always is.
 */
import { createInterface } from 'node:readline';
import type { ReadStream, WriteStream } from 'node:tty';

type TypedLine =
  | { readonly kind: 'line'; readonly text: string }
  /** Ctrl-C, and whether anything had been typed. */
  | { readonly kind: 'interrupted'; readonly typed: boolean }
  /** Ctrl-D. */
  | { readonly kind: 'end' };

export class LinePrompt {
  readonly #input: ReadStream;
  readonly #output: WriteStream;
  /** The newest first, as readline wants them. */
  readonly history: string[];

  constructor(input: ReadStream, output: WriteStream, history: readonly string[]) {
    this.#input = input;
    this.#output = output;
    this.history = [...history];
  }

  read(prompt: string): Promise<TypedLine> {
    return new Promise((resolve) => {
      const lines = createInterface({
        input: this.#input,
        output: this.#output,
        terminal: true,
        history: [...this.history],
        prompt,
      });
      const answer = (typed: TypedLine): void => {
        resolve(typed);
        lines.close();
      };
      lines.once('line', (text) => answer({ kind: 'line', text }));
      lines.once('SIGINT', () => {
        this.#output.write('\n');
        answer({ kind: 'interrupted', typed: lines.line !== '' });
      });
      // After an answer, this close is our own, and too late to matter.
      lines.once('close', () => resolve({ kind: 'end' }));
      lines.prompt();
    });
  }

  /** A line that comes up again with the arrow key. */
  remember(text: string): void {
    const line = text.replaceAll('\n', ' ');
    if (this.history[0] !== line) this.history.unshift(line);
  }
}
