/**
 * A stream's usage while it runs, as vLLM's `continuous_usage_stats` has it. It tells only what is known: the prompt
 * once the request is accepted, the answer as far as the engine counts it. The last chunk's usage is the engine's own.
 */
import type { CompletionEvent, Usage } from '@cortex/core';

/** Which chunks carry usage; `last` and `every` end with a chunk that has no choices. */
export type StreamUsage = 'none' | 'last' | 'every';

interface StreamOptions {
  readonly include_usage?: boolean | null | undefined;
  readonly continuous_usage_stats?: boolean | null | undefined;
}

/** As in vLLM, the continuous form is one of `include_usage`: alone it asks for nothing. */
export const streamUsageOf = (options: StreamOptions | null | undefined): StreamUsage => {
  if (options?.include_usage !== true) return 'none';
  return options.continuous_usage_stats === true ? 'every' : 'last';
};

export class RunningUsage {
  readonly #mode: StreamUsage;
  #promptTokens: number | null = null;
  /** By choice; null: the engine gave a piece without its count. */
  readonly #completionTokens = new Map<number, number | null>();

  constructor(mode: StreamUsage) {
    this.#mode = mode;
  }

  note(event: CompletionEvent): void {
    switch (event.kind) {
      case 'accepted':
        this.#promptTokens = event.promptTokens;
        return;
      case 'text':
      case 'reasoning':
      case 'tool_call':
      case 'finish':
        this.#completionTokens.set(event.choice, event.completionTokens ?? null);
        return;
      case 'loading':
      case 'prefill':
      case 'logprobs':
      case 'usage':
    }
  }

  /** The field of a chunk with choices, to be spread into it. */
  get field(): { readonly usage?: Usage | null } {
    if (this.#mode === 'none') return {};
    return { usage: this.#mode === 'every' ? this.#soFar() : null };
  }

  #soFar(): Usage | null {
    const counts = [...this.#completionTokens.values()].filter((count) => count !== null);
    if (this.#promptTokens === null || counts.length < this.#completionTokens.size) return null;
    const completionTokens = counts.reduce((sum, count) => sum + count, 0);
    return {
      prompt_tokens: this.#promptTokens,
      completion_tokens: completionTokens,
      total_tokens: this.#promptTokens + completionTokens,
    };
  }
}
