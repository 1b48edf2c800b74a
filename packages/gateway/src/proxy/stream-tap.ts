/**
 * Listens to a stream of OpenAI chunks as it passes: usage, first and last token, how it ended. It changes and keeps
 * nothing of what it hears.
 */
import { CortexError, type ChatChunk, type Usage } from '@cortex/core';
import { errorMemberOf, fromErrorMember } from './node-errors.ts';
import type { SseFrame } from './sse-frames.ts';

export type Heard =
  /** A comment, or an event without data. */
  | { readonly kind: 'alive'; readonly text: string | null }
  | {
      readonly kind: 'chunk';
      readonly chunk: ChatChunk;
      /** `opening`: nothing of the answer yet, such as the role. `usage`: figures and no choice at all. */
      readonly part: 'opening' | 'answer' | 'usage';
    }
  | { readonly kind: 'done' };

export interface TokenCounts {
  readonly prompt: number;
  readonly completion: number;
  readonly cachedPrompt: number;
  /**
   * False: the node never said. `completion` counts the pieces that were streamed; `prompt` is what its headers told, or
   * else what the prompt has at the least.
   */
  readonly reported: boolean;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const countOf = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? Math.trunc(value) : 0;

/** @returns null when it is not a usage object. */
export const readUsage = (usage: unknown): TokenCounts | null => {
  if (!isObject(usage)) return null;
  const details = isObject(usage['prompt_tokens_details']) ? usage['prompt_tokens_details'] : {};
  return {
    prompt: countOf(usage['prompt_tokens']),
    completion: countOf(usage['completion_tokens']),
    cachedPrompt: countOf(details['cached_tokens']),
    reported: true,
  };
};

const says = (value: unknown): boolean =>
  typeof value === 'string' ? value !== '' : Array.isArray(value) && value.length > 0;

/** Text, reasoning, a tool call or an end. */
const saysSomething = (choice: unknown): boolean => {
  if (!isObject(choice)) return false;
  if (says(choice['text']) || typeof choice['finish_reason'] === 'string') return true;
  const { delta } = choice;
  if (!isObject(delta)) return false;
  for (const key in delta) if (key !== 'role' && says(delta[key])) return true;
  return false;
};

export class StreamTap {
  readonly #node: string;
  readonly #now: () => number;
  #usage: TokenCounts | null = null;
  #promptTokens = 0;
  #nPieces = 0;
  #firstTokenMs: number | null = null;
  #lastTokenMs = 0;

  /** `now` in milliseconds of a monotonic clock. */
  constructor(node: string, now: () => number) {
    this.#node = node;
    this.#now = now;
  }

  /** When the first piece of the answer came; null before. */
  get firstTokenMs(): number | null {
    return this.#firstTokenMs;
  }

  get decodeMs(): number {
    return this.#firstTokenMs === null ? 0 : this.#lastTokenMs - this.#firstTokenMs;
  }

  get tokens(): TokenCounts {
    const { prompt, completion } = { prompt: this.#promptTokens, completion: this.#nPieces };
    return this.#usage ?? { prompt, completion, cachedPrompt: 0, reported: false };
  }

  /** The node has begun to answer a prompt of this many tokens, for what ends before its usage is told. */
  begin(promptTokens: number): void {
    this.#promptTokens = promptTokens;
  }

  /** @throws CortexError the node's own error event, or `upstream_error` for what is no chunk at all. */
  read(frame: SseFrame): Heard {
    const { data } = frame;
    if (data === null || data === '') return { kind: 'alive', text: frame.comment };
    if (data === '[DONE]') return { kind: 'done' };
    const value = this.#parse(data);
    const error = errorMemberOf(value);
    if (error !== null) throw fromErrorMember(error, 0, this.#node);
    const { choices } = value;
    if (!Array.isArray(choices)) throw this.#garbage(data);
    const usage = value['usage'] === undefined ? null : readUsage(value['usage']);
    if (usage !== null) this.#usage = usage;
    const chunk = value as unknown as ChatChunk & { readonly usage?: Usage | null };
    if (choices.length === 0) return { kind: 'chunk', chunk, part: usage === null ? 'opening' : 'usage' };
    if (!choices.some(saysSomething)) return { kind: 'chunk', chunk, part: 'opening' };
    this.#lastTokenMs = this.#now();
    this.#firstTokenMs ??= this.#lastTokenMs;
    this.#nPieces += 1;
    return { kind: 'chunk', chunk, part: 'answer' };
  }

  #parse(data: string): Readonly<Record<string, unknown>> {
    let value: unknown;
    try {
      value = JSON.parse(data);
    } catch {
      value = null;
    }
    if (!isObject(value)) throw this.#garbage(data);
    return value;
  }

  #garbage(data: string): CortexError {
    const start = JSON.stringify(data.slice(0, 80));
    return new CortexError('upstream_error', `node ${this.#node} sent an event that is no chunk: ${start}`, {
      facts: { node: this.#node },
    });
  }
}
