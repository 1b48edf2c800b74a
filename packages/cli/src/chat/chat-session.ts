/** The interactive chat: a prompt, commands that begin with a slash, answers that Ctrl-C stops. */
import { CortexError, nearestKey, type ContentPart } from '@cortex/core';
import { imagePart } from '../api/image-part.ts';
import type { CommandParts } from '../command-parts.ts';
import { AnswerWriter } from './answer-writer.ts';
import type { Conversation, TurnFigures } from './conversation.ts';
import { historyPath, readHistory, writeHistory } from './history-file.ts';
import { LinePrompt } from './line-prompt.ts';

interface SessionOptions {
  readonly model: string;
  readonly images: readonly ContentPart[];
  readonly verbose: boolean;
}

const commands: Readonly<Record<string, string>> = {
  '/image': 'FILE   show a picture with the next message',
  '/clear': '       forget the conversation',
  '/help': '        this',
  '/bye': '         end (Ctrl-D too)',
};

const block = '"""';

/** One line under an answer: `41 + 14 tokens · first after 0.21 s · 35.1 tok/s`. */
export const figuresText = ({ usage, firstTokenMs, totalMs }: TurnFigures): string => {
  const parts: string[] = [];
  if (usage !== null) parts.push(`${usage.prompt_tokens} + ${usage.completion_tokens} tokens`);
  if (firstTokenMs !== null) {
    parts.push(`first after ${(firstTokenMs / 1000).toFixed(2)} s`);
    const decodeMs = totalMs - firstTokenMs;
    const decoded = (usage?.completion_tokens ?? 0) - 1;
    if (decoded > 0 && decodeMs > 0) parts.push(`${((decoded / decodeMs) * 1000).toFixed(1)} tok/s`);
  }
  return parts.join(' · ');
};

export class ChatSession {
  readonly #parts: CommandParts;
  readonly #conversation: Conversation;
  readonly #options: SessionOptions;
  readonly #historyFile: string;
  #images: readonly ContentPart[];
  /** A Ctrl-C has been spent already: the next one ends the chat. */
  #endsNext = false;

  constructor(parts: CommandParts, conversation: Conversation, options: SessionOptions) {
    this.#parts = parts;
    this.#conversation = conversation;
    this.#options = options;
    this.#images = options.images;
    this.#historyFile = historyPath(parts.env, parts.homeDir);
  }

  async run(): Promise<void> {
    const { out, stdin, stdout } = this.#parts;
    const prompt = new LinePrompt(stdin, stdout, await readHistory(this.#historyFile));
    out.line(out.style('dim', `${this.#options.model} · /help for commands, """ around several lines, /bye to end`));
    for (;;) {
      const text = await this.#nextMessage(prompt);
      if (text === null) break;
      if (text === '') continue;
      prompt.remember(text);
      if (text === '/bye' || text === '/exit' || text === '/quit') break;
      if (text.startsWith('/')) await this.#command(text);
      else await this.#ask(text);
    }
    await writeHistory(this.#historyFile, prompt.history);
  }

  /** Null: the chat is over. Empty: nothing to do. */
  async #nextMessage(prompt: LinePrompt): Promise<string | null> {
    const { out } = this.#parts;
    const picture = this.#images.length === 0 ? '' : out.style('dim', `[${this.#images.length} 🖼] `);
    let lines = '';
    for (;;) {
      const typed = await prompt.read(lines === '' ? `${picture}${out.style('bold', '>>> ')}` : '... ');
      if (typed.kind === 'end') {
        out.line();
        return null;
      }
      if (typed.kind === 'interrupted') {
        if (this.#endsNext && !typed.typed && lines === '') return null;
        this.#endsNext = !typed.typed && lines === '';
        if (this.#endsNext) out.line(out.style('dim', 'Ctrl-C again, Ctrl-D or /bye ends the chat.'));
        return '';
      }
      this.#endsNext = false;
      lines = lines === '' ? typed.text : `${lines}\n${typed.text}`;
      const isOpen =
        lines.trimStart().startsWith(block) && !(lines.trim().length >= 6 && lines.trimEnd().endsWith(block));
      if (!isOpen) break;
    }
    const text = lines.trim();
    return text.startsWith(block) ? text.slice(block.length, -block.length).trim() : text;
  }

  async #command(text: string): Promise<void> {
    const { out } = this.#parts;
    const [name = '', ...rest] = text.split(' ');
    if (name === '/image') return this.#attach(rest.join(' '));
    if (name === '/clear') {
      this.#conversation.clear();
      this.#images = [];
      return out.line('The conversation is forgotten.');
    }
    if (name === '/help')
      return out.line(
        Object.entries(commands)
          .map((entry) => entry.join(' '))
          .join('\n'),
      );
    const near = nearestKey(name, Object.keys(commands));
    return out.line(`There is no ${name}${near === null ? '; /help lists the commands' : `; did you mean ${near}?`}`);
  }

  async #attach(file: string): Promise<void> {
    const { out, homeDir } = this.#parts;
    if (file.trim() === '') return out.line('/image FILE');
    try {
      this.#images = [...this.#images, await imagePart(file, homeDir)];
      return out.line('It goes with your next message.');
    } catch (thrown) {
      return out.line(out.style('red', CortexError.from(thrown).message));
    }
  }

  async #ask(text: string): Promise<void> {
    const { out, err } = this.#parts;
    const stop = new AbortController();
    const release = this.#parts.onInterrupt(() => stop.abort());
    const writer = new AnswerWriter(out, err);
    try {
      const figures = await this.#conversation.ask(text, this.#images, writer, stop.signal);
      this.#images = [];
      if (figures.finish === 'length') out.line(out.style('yellow', '(cut off: the limit of tokens)'));
      if (this.#options.verbose) out.line(out.style('dim', figuresText(figures)));
      out.line();
    } catch (thrown) {
      if (stop.signal.aborted) {
        this.#images = [];
        this.#endsNext = true;
        out.line(out.style('dim', '(stopped)\n'));
      } else out.line(`${out.style('red', CortexError.from(thrown).message)}\n`);
    } finally {
      release();
    }
  }
}
