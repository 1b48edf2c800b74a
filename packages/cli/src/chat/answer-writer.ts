/**
 * Puts an answer onto a terminal as it streams: reasoning dimmed, and what is waited for until the first word. Into a
 * pipe goes the answer alone. Never what could steer the terminal.
 */
import type { ChatEvent } from '../api/chat-events.ts';
import { oneLine, withoutControls } from '../terminal/plain-text.ts';
import type { Terminal } from '../terminal/terminal.ts';

export class AnswerWriter {
  readonly #out: Terminal;
  readonly #err: Terminal;
  #part: 'none' | 'waiting' | 'reasoning' | 'text' = 'none';
  #endsLine = true;
  #text = '';

  constructor(out: Terminal, err: Terminal) {
    this.#out = out;
    this.#err = err;
  }

  /** The answer so far, without its reasoning. */
  get text(): string {
    return this.#text;
  }

  write(event: ChatEvent): void {
    if (event.kind === 'waiting') this.#wait(event.reason);
    else if (event.kind === 'reasoning') this.#reason(event.text);
    else if (event.kind === 'text') this.#say(event.text);
  }

  /** The cursor stands at the start of a line afterwards. */
  end(): void {
    this.#unwait();
    if (!this.#endsLine) this.#out.line();
    this.#endsLine = true;
  }

  #wait(reason: string): void {
    if (!this.#err.isTty || (this.#part !== 'none' && this.#part !== 'waiting')) return;
    this.#err.write(`\r\u001B[K${this.#err.style('dim', oneLine(reason))}`);
    this.#part = 'waiting';
  }

  #unwait(): void {
    if (this.#part !== 'waiting') return;
    this.#err.write('\r\u001B[K');
    this.#part = 'none';
  }

  #reason(text: string): void {
    this.#unwait();
    if (!this.#out.isTty) return;
    this.#part = 'reasoning';
    this.#put(text, (plain) => this.#out.style('dim', plain));
  }

  #say(text: string): void {
    this.#unwait();
    this.#text += text;
    if (this.#part === 'reasoning') this.#out.write(this.#endsLine ? '\n' : '\n\n');
    // Templates leave the newlines between reasoning and answer to it.
    const shown = this.#part === 'text' ? text : text.replace(/^\n+/, '');
    if (shown === '') return;
    this.#part = 'text';
    this.#put(shown, (plain) => plain);
  }

  #put(text: string, paint: (plain: string) => string): void {
    const plain = withoutControls(text);
    if (plain === '') return;
    this.#out.write(paint(plain));
    this.#endsLine = plain.endsWith('\n');
  }
}
