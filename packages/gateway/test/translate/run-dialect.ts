/** A dialect run by hand: what it asks of the node, and what the client would read of a scripted answer. */
import type { ChatChunk } from '@cortex/core';
import { SseFrames } from '../../src/proxy/sse-frames.ts';
import type { Dialect, JsonObject, StreamTranslator, Translation } from '../../src/translate/contract.ts';

export interface ClientEvent {
  readonly event: string | null;
  readonly data: JsonObject;
}

const translate = (dialect: Dialect, body: JsonObject): Translation =>
  dialect.translate({ body, headers: {}, requestId: 'req_1' });

/** What the node would be asked, as it would read it. */
export const askedOf = (dialect: Dialect, body: JsonObject): JsonObject =>
  JSON.parse(JSON.stringify(translate(dialect, body).request)) as JsonObject;

export const streamOf = (dialect: Dialect, body: JsonObject): StreamTranslator => {
  const { reply } = translate(dialect, { ...body, stream: true });
  if (reply.kind !== 'translated' || reply.stream === null) throw new Error('no stream was made');
  return reply.stream;
};

export const eventsIn = (text: string): ClientEvent[] =>
  new SseFrames().push(Buffer.from(text)).flatMap((frame) => {
    if (frame.data === null) return [];
    const event = /^event: (.*)$/m.exec(frame.bytes.toString())?.[1] ?? null;
    return [{ event, data: JSON.parse(frame.data) as JsonObject }];
  });

export const tell = (stream: StreamTranslator, chunks: readonly ChatChunk[]): string =>
  chunks.map((chunk) => stream.chunk(chunk)).join('');

/** A whole stream. */
export const textFor = (stream: StreamTranslator, chunks: readonly ChatChunk[]): string =>
  tell(stream, chunks) + stream.end();

/** Events of a whole stream. */
export const eventsFor = (dialect: Dialect, body: JsonObject, chunks: readonly ChatChunk[]): ClientEvent[] =>
  eventsIn(textFor(streamOf(dialect, body), chunks));

export const answerFor = (dialect: Dialect, body: JsonObject, completion: unknown): JsonObject => {
  const { reply } = translate(dialect, body);
  if (reply.kind !== 'translated') throw new Error('nothing was translated');
  return reply.answer(completion);
};
