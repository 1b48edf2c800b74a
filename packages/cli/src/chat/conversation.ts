/** The turns of one chat, and how the next is asked. A turn that failed leaves no trace; one that was stopped stays. */
import type { ChatMessage, ChatRequest, ContentPart, FinishReason, Usage } from '@cortex/core';
import type { GatewayApi } from '../api/gateway-api.ts';
import type { AnswerWriter } from './answer-writer.ts';

export interface ChatSettings {
  readonly model: string;
  readonly system?: string;
  readonly temperature?: number;
  readonly maxTokens?: number;
  /** False asks the model not to reason. */
  readonly think: boolean;
}

export interface TurnFigures {
  readonly finish: FinishReason | null;
  readonly usage: Usage | null;
  readonly firstTokenMs: number | null;
  readonly totalMs: number;
}

export class Conversation {
  readonly #gateway: GatewayApi;
  readonly #settings: ChatSettings;
  #turns: ChatMessage[] = [];

  constructor(gateway: GatewayApi, settings: ChatSettings) {
    this.#gateway = gateway;
    this.#settings = settings;
  }

  get model(): string {
    return this.#settings.model;
  }

  clear(): void {
    this.#turns = [];
  }

  /** @throws CortexError; the signal's reason, what was said until then being kept. */
  async ask(
    text: string,
    images: readonly ContentPart[],
    writer: AnswerWriter,
    signal: AbortSignal,
  ): Promise<TurnFigures> {
    const content = images.length === 0 ? text : [...images, { type: 'text', text } as const];
    const question: ChatMessage = { role: 'user', content };
    const startedMs = performance.now();
    let firstTokenMs: number | null = null;
    let end: Pick<TurnFigures, 'finish' | 'usage'> = { finish: null, usage: null };
    try {
      for await (const event of this.#gateway.chat(this.#request(question), signal)) {
        if (event.kind === 'text' || event.kind === 'reasoning') firstTokenMs ??= performance.now() - startedMs;
        if (event.kind === 'end') end = event;
        writer.write(event);
      }
    } catch (thrown) {
      if (signal.aborted) this.#keep(question, writer.text);
      throw thrown;
    } finally {
      writer.end();
    }
    this.#keep(question, writer.text);
    return { finish: end.finish, usage: end.usage, firstTokenMs, totalMs: performance.now() - startedMs };
  }

  #keep(question: ChatMessage, answer: string): void {
    this.#turns.push(question, { role: 'assistant', content: answer });
  }

  #request(question: ChatMessage): ChatRequest {
    const { model, system, temperature, maxTokens, think } = this.#settings;
    const first: readonly ChatMessage[] = system === undefined ? [] : [{ role: 'system', content: system }];
    return {
      model,
      messages: [...first, ...this.#turns, question],
      ...(temperature === undefined ? {} : { temperature }),
      ...(maxTokens === undefined ? {} : { max_tokens: maxTokens }),
      ...(think ? {} : { reasoning_effort: 'none' }),
    };
  }
}
