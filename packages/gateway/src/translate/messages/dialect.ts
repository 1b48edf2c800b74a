/** Anthropic's protocol: `/v1/messages` over chat, `/v1/messages/count_tokens` over a node's `/tokenize`. */
import {
  CortexError,
  countTokensRequestSchema,
  messagesRequestSchema,
  parseRequest,
  type ChatRequest,
  type MessagesRequest,
} from '@cortex/core';
import type { Dialect, JsonObject, Translation } from '../contract.ts';
import { idStem } from '../id-stem.ts';
import { toMessage, type AnswerFrame, type ThinkingDisplay } from './answer.ts';
import { countWays } from './count-ways.ts';
import { toEnvelope } from './error-envelope.ts';
import { roughPromptTokens } from './figures.ts';
import { MessageStream } from './message-stream.ts';
import { thinks, toChatRequest, toTokenizeRequest } from './to-chat.ts';

const displayOf = ({ thinking }: MessagesRequest): ThinkingDisplay => {
  if (!thinks(thinking)) return 'off';
  return thinking?.display === 'omitted' ? 'hidden' : 'shown';
};

const frameOf = (request: MessagesRequest, requestId: string): AnswerFrame => ({
  messageId: `msg_${idStem(requestId)}`,
  model: request.model,
  thinking: displayOf(request),
  stopSequences: request.stop_sequences ?? [],
});

const translateMessages = (body: JsonObject, requestId: string): Translation => {
  const request = parseRequest(messagesRequestSchema, body);
  const chat: ChatRequest = toChatRequest(request);
  const frame = frameOf(request, requestId);
  const rough = (): number => roughPromptTokens(chat);
  return {
    request: chat,
    reply: {
      kind: 'translated',
      stream: request.stream === true ? new MessageStream({ ...frame, roughPromptTokens: rough }) : null,
      answer: (answer) => ({ ...toMessage(answer, frame) }),
    },
  };
};

const errorBody: Dialect['errorBody'] = (error, requestId) => ({ ...toEnvelope(error, requestId) });

export const messagesDialect: Dialect = {
  name: 'messages',
  upstreamPath: '/v1/chat/completions',
  translate: ({ body, requestId }) => translateMessages(body, requestId),
  errorBody,
};

const toCount = (body: unknown): JsonObject => {
  const count = typeof body === 'object' && body !== null && 'count' in body ? body.count : null;
  if (typeof count !== 'number' || !Number.isSafeInteger(count) || count < 0)
    throw new CortexError('upstream_error', 'the node answered something that is no count of tokens');
  return { input_tokens: count };
};

const translateCount = (body: JsonObject): Translation => {
  const request = toTokenizeRequest(parseRequest(countTokensRequestSchema, body));
  return {
    request,
    reply: { kind: 'translated', stream: null, answer: toCount },
    countWays: countWays(body, request),
  };
};

export const countTokensDialect: Dialect = {
  name: 'count_tokens',
  upstreamPath: '/tokenize',
  translate: ({ body }) => translateCount(body),
  errorBody,
};
