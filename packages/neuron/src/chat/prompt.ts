/**
 * From a conversation to token ids. Control tokens come from the template only: what a client writes is encoded as
 * text, whatever it spells. Ids of ordinary conversations are exactly those of Hugging Face's `apply_chat_template`.
 */
import { CortexError } from '@cortex/core';
import { AddedTokenSplitter } from '../tokenizer/added-token-splitter.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { countImages } from './messages.ts';
import { fitMessages } from './messages-fit.ts';
import { PromptGuard } from './prompt-guard.ts';
import { SegmentCache } from './prompt-segments.ts';
import type { ChatTemplate, TemplateInput } from './template.ts';

/** Where the prompt leaves the model: inside `<think>`, after an empty think block, or free to choose. */
export type ThinkingStart = 'open' | 'closed' | 'none';

/** Plain data, it crosses threads. */
export interface Prompt {
  readonly text: string;
  /** One placeholder for each image, not yet expanded (`image-pads.ts`). */
  readonly ids: Int32Array;
  readonly nImages: number;
  readonly thinking: ThinkingStart;
}

/** About 2 million tokens of ordinary text. */
export const defaultPromptCharsMax = 8 * 2 ** 20;

/** @throws CortexError `request_too_large`. */
export const checkPromptLength = (text: string, charsMax: number): void => {
  if (text.length <= charsMax) return;
  throw new CortexError('request_too_large', `the prompt has ${text.length} characters, the limit is ${charsMax}`, {
    facts: { limit: charsMax, got: text.length },
  });
};

const thinkingStart = (text: string): ThinkingStart => {
  const end = text.trimEnd();
  if (end.endsWith('<think>')) return 'open';
  return end.endsWith('</think>') ? 'closed' : 'none';
};

export interface PromptBuilderParts {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Longer rendered prompts are refused before they are encoded; UTF-16 units. */
  readonly charsMax?: number;
}

export class PromptBuilder {
  readonly #tokenizer: Tokenizer;
  readonly #template: ChatTemplate;
  readonly #charsMax: number;
  readonly #guard: PromptGuard;
  readonly #control: AddedTokenSplitter;
  readonly #segments = new SegmentCache();

  constructor({ tokenizer, template, charsMax = defaultPromptCharsMax }: PromptBuilderParts) {
    this.#tokenizer = tokenizer;
    this.#template = template;
    this.#charsMax = charsMax;
    const cuts = [...template.cuts, ...tokenizer.plainAddedTokens.map((token) => token.content)];
    this.#guard = new PromptGuard(
      tokenizer.controlTokens.map((token) => token.content),
      cuts,
    );
    this.#control = new AddedTokenSplitter(tokenizer.controlTokens);
  }

  /** @throws CortexError `invalid_request` from the template, `request_too_large`. */
  build(input: TemplateInput): Prompt {
    const messages = fitMessages(input.messages, this.#template.facts);
    const { input: guarded, reveal } = this.#guard.protect({ ...input, messages });
    const rendered = this.#template.render(guarded);
    checkPromptLength(rendered, this.#charsMax);
    const text = reveal(rendered);
    return {
      text,
      ids: this.#encode(rendered, reveal),
      nImages: countImages(messages),
      thinking: input.addGenerationPrompt ? thinkingStart(text) : 'none',
    };
  }

  #encode(rendered: string, reveal: (text: string) => string): Int32Array {
    const ids: number[] = [];
    const encode = (text: string): readonly number[] =>
      this.#tokenizer.encode(text, { parseSpecial: false, addSpecial: false });
    for (const segment of this.#control.split(rendered)) {
      if (segment.kind === 'token') ids.push(segment.token.id);
      else for (const id of this.#segments.encode(reveal(segment.text), encode)) ids.push(id);
    }
    return Int32Array.from(ids);
  }
}
