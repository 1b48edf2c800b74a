/** OpenAI's Responses protocol, `/v1/responses`, over chat. */
import { parseRequest, responsesRequestSchema } from '@cortex/core';
import type { Dialect, JsonObject, Translation } from '../contract.ts';
import { idStem } from '../id-stem.ts';
import { echoOf, toWholeResponse, type ResponseFrame } from './response-object.ts';
import { ResponseStream } from './response-stream.ts';
import { toChatRequest } from './to-chat.ts';

const translate = (body: JsonObject, requestId: string): Translation => {
  const request = parseRequest(responsesRequestSchema, body);
  const frame: ResponseFrame = {
    idStem: idStem(requestId),
    model: request.model,
    echo: echoOf(body),
    sealsReasoning: request.include?.includes('reasoning.encrypted_content') === true,
  };
  return {
    request: toChatRequest(request),
    reply: {
      kind: 'translated',
      stream: request.stream === true ? new ResponseStream(frame) : null,
      answer: (answer) => toWholeResponse(answer, frame),
    },
  };
};

export const responsesDialect: Dialect = {
  name: 'responses',
  upstreamPath: '/v1/chat/completions',
  translate: ({ body, requestId }) => translate(body, requestId),
  errorBody: (error) => ({ ...error.toBody() }),
};
