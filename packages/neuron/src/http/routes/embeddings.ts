/** `POST /v1/embeddings`: one vector per input, as numbers or as base64 of little-endian float32. */
import { endianness } from 'node:os';
import { embeddingsRequestSchema, parseRequest, type EmbeddingsResponse } from '@cortex/core';
import { callerOf } from '../caller.ts';
import type { Route } from '../context.ts';

const base64 = (vector: Float32Array): string => {
  const bytes = Buffer.from(vector.buffer.slice(vector.byteOffset, vector.byteOffset + vector.byteLength));
  return (endianness() === 'LE' ? bytes : bytes.swap32()).toString('base64');
};

export const embeddingsRoute: Route = {
  method: 'POST',
  url: '/v1/embeddings',
  inference: 'embeddings',
  handle: async (context, request, reply): Promise<EmbeddingsResponse> => {
    const body = parseRequest(embeddingsRequestSchema, request.body);
    const record = context.recordOf(request);
    record.begin(body.model, false);
    const { vectors, promptTokens } = await context.calls.run(reply.raw, (signal) =>
      context.harness.embed(body, { signal, requestId: request.id, ...callerOf(request) }),
    );
    record.note({ kind: 'accepted', promptTokens });
    const encode = body.encoding_format === 'base64' ? base64 : (vector: Float32Array): number[] => [...vector];
    return {
      object: 'list',
      model: body.model,
      data: vectors.map((vector, index) => ({ object: 'embedding', index, embedding: encode(vector) })),
      usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    };
  },
};
