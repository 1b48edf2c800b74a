/** What chat and text completions have in common: run the engine's events into a whole answer or a stream. */
import { randomUUID } from 'node:crypto';
import type { CompletionEvent, RequestContext } from '@cortex/core';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { streamAnswer, type ChunkBuilder } from './answer-stream.ts';
import { callerOf } from './caller.ts';
import { noting } from './call-record.ts';
import type { RouteContext } from './context.ts';
import type { ResponseIdentity } from './openai-chat-response.ts';
import { streamUsageOf, type StreamUsage } from './running-usage.ts';

/** The fields that both kinds of request have. */
export interface CompletionOptions {
  readonly model: string;
  readonly stream?: boolean | null | undefined;
  readonly stream_options?: Parameters<typeof streamUsageOf>[0];
}

export interface CompletionAnswer {
  readonly idPrefix: string;
  start(context: RequestContext): AsyncIterable<CompletionEvent>;
  newBuilder(identity: ResponseIdentity, options: { readonly usage: StreamUsage }): ChunkBuilder;
  collect(events: AsyncIterable<CompletionEvent>, identity: ResponseIdentity): Promise<object>;
}

/** @returns the whole answer, or undefined when it was streamed. */
export const answerCompletion = (
  context: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
  body: CompletionOptions,
  answer: CompletionAnswer,
): Promise<object | undefined> => {
  const record = context.recordOf(request);
  record.begin(body.model, body.stream === true);
  const identity: ResponseIdentity = {
    id: answer.idPrefix + randomUUID().replaceAll('-', ''),
    created: Math.floor(Date.now() / 1000),
    model: body.model,
  };
  return context.calls.run(reply.raw, async (signal) => {
    const events = noting(answer.start({ signal, requestId: request.id, ...callerOf(request) }), record);
    if (body.stream !== true) return answer.collect(events, identity);
    const builder = answer.newBuilder(identity, { usage: streamUsageOf(body.stream_options) });
    const { keepaliveMs, stallMs } = context;
    record.error = await streamAnswer(reply, events, builder, {
      signal,
      keepaliveMs,
      stallMs,
      requestId: request.id,
    });
    return undefined;
  });
};
