/** A streamed chat completion as what happens in it. It ends in `end`, or throws: a stream cut short is an error. */
import { CortexError, type ChatChunk, type FinishReason, type Usage } from '@cortex/core';
import { streamItems } from './event-stream.ts';
import { errorOf } from './http-call.ts';

export type ChatEvent =
  /** Nothing of the answer yet, and why: `loading on beast, 40 %, about 3 s left`. */
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'reasoning'; readonly text: string }
  | { readonly kind: 'end'; readonly finish: FinishReason | null; readonly usage: Usage | null };

const parseChunk = (data: string): ChatChunk => {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    throw new CortexError('upstream_error', 'the stream holds an event that is not JSON');
  }
  if (typeof value === 'object' && value !== null && 'error' in value) throw errorOf(value, 'the answer failed');
  return value as ChatChunk;
};

/** @throws CortexError what the stream says went wrong, or `upstream_disconnected` when it just stops. */
export const chatEvents = async function* (body: AsyncIterable<Uint8Array>): AsyncGenerator<ChatEvent> {
  let finish: FinishReason | null = null;
  let usage: Usage | null = null;
  for await (const item of streamItems(body)) {
    if (item.kind === 'comment') {
      yield { kind: 'waiting', reason: item.text };
      continue;
    }
    if (item.data === '[DONE]') {
      yield { kind: 'end', finish, usage };
      return;
    }
    const chunk = parseChunk(item.data);
    usage = chunk.usage ?? usage;
    const [choice] = chunk.choices ?? [];
    if (choice === undefined) continue;
    finish = choice.finish_reason ?? finish;
    const { reasoning_content: reasoning, content } = choice.delta ?? {};
    if (reasoning !== undefined && reasoning !== '') yield { kind: 'reasoning', text: reasoning };
    if (content !== undefined && content !== null && content !== '') yield { kind: 'text', text: content };
  }
  throw new CortexError('upstream_disconnected', 'the answer ended in the middle');
};
