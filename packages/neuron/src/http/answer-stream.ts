/**
 * A completion as server-sent events. The status waits for the first event, so everything the engine refuses keeps
 * its own; what fails after that ends in an error frame and never in `[DONE]`.
 */
import { CortexError, promptTokensHeader, sseData, sseDone, type CompletionEvent } from '@cortex/core';
import type { FastifyReply } from 'fastify';
import { asCortexError } from './error-reply.ts';
import { EventStream, type EventStreamOptions } from './event-stream.ts';

export interface ChunkBuilder {
  /** The protocol's chunks for one event; none for events that it does not show. */
  push(event: CompletionEvent): readonly object[];
}

export interface AnswerStreamOptions extends EventStreamOptions {
  readonly requestId: string;
}

/** What a keepalive says of an event that the client does not see. */
const noteOf = (event: CompletionEvent): string | null => {
  if (event.kind === 'prefill') return `prefill ${event.done}/${event.total}`;
  if (event.kind === 'loading') return `loading ${Math.round(event.fraction * 100)} % ${event.phase}`;
  return null;
};

const headersOf = (first: CompletionEvent, requestId: string): Readonly<Record<string, string>> => ({
  'x-request-id': requestId,
  ...(first.kind === 'accepted' ? { [promptTokensHeader]: String(first.promptTokens) } : {}),
});

const nothingSent = 'waiting for the first token';

const pump = async (
  stream: EventStream,
  first: IteratorResult<CompletionEvent, void>,
  iterator: AsyncIterator<CompletionEvent, void>,
  builder: ChunkBuilder,
): Promise<void> => {
  let complete = false;
  for (let next = first; next.done !== true; next = await iterator.next()) {
    const event = next.value;
    stream.note = noteOf(event) ?? stream.note;
    if (event.kind === 'usage') complete = true;
    const frames = builder.push(event).map(sseData).join('');
    if (frames !== '') await stream.write(frames);
  }
  if (!complete) throw new CortexError('internal_error', 'the answer ended before it was complete');
};

/**
 * Resolves when the answer has ended, also when it ended in an error frame: the error is returned, for the log.
 * @throws what the engine threw before its first event; then nothing was sent.
 */
export const streamAnswer = async (
  reply: FastifyReply,
  events: AsyncIterable<CompletionEvent, void>,
  builder: ChunkBuilder,
  options: AnswerStreamOptions,
): Promise<CortexError | null> => {
  const iterator = events[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) throw new CortexError('internal_error', 'the engine gave no answer');
  reply.hijack();
  const stream = new EventStream(reply.raw, headersOf(first.value, options.requestId), options);
  stream.note = nothingSent;
  try {
    await pump(stream, first, iterator, builder);
    stream.end(sseDone);
    return null;
  } catch (thrown) {
    const { signal, requestId } = options;
    const error = signal.aborted ? CortexError.from(signal.reason) : asCortexError(thrown, requestId);
    stream.end(sseData(error.toBody()));
    // Lets the engine's generator run its own clean-up when it was this side that stopped.
    await iterator.return?.();
    return error;
  }
};
